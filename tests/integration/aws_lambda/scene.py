"""One activity, its task, and everything around the Lambda function."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery

from bridge.aws_lambda import Function
from bridge.loops import recovery
from bridge.loops.dispatcher import Dispatcher
from bridge.settings import Settings
from bridge.store import ActivityStatus, ClaimStore, JobStore, Status, StatusReader
from tests.faults.proxy import Proxy

ENOUGH_S = 120.0
NUMBERS = itertools.count(1)


def work(event):
    return event


class Context:
    """Lambda's, with a clock that can be set.

    Args:
        left_s: What is left at each question, the last one from then on.
    """

    def __init__(self, *left_s: float) -> None:
        self._left_s = list(left_s) or [ENOUGH_S]

    def get_remaining_time_in_millis(self) -> int:
        left_s = self._left_s.pop(0) if len(self._left_s) > 1 else self._left_s[0]
        return int(left_s * 1000)


@dataclass
class Scene:
    """One activity, its task, and everything around the function."""

    app: Celery
    function: Function
    sfn: Any
    settings: Settings
    activity: str
    arn: str
    queue: str
    store: Proxy
    broker: Proxy
    valkey_url: str
    broker_url: str
    jobs: JobStore

    def worker(self, slots: int = 4) -> None:
        self.jobs.renew_lease("w1", number=next(NUMBERS), slots=slots, queues=[self.queue])

    def execute(self, event: Any = None) -> str:
        """Start an execution; it is at its activity when this returns."""
        work = {
            "Type": "Task",
            "Resource": self.arn,
            "End": True,
            "HeartbeatSeconds": 30,
            "TimeoutSeconds": 60,
        }
        machine = self.sfn.create_state_machine(
            name=f"m-{uuid.uuid4().hex[:8]}",
            roleArn="arn:aws:iam::123456789012:role/states",
            definition=json.dumps({"StartAt": "Work", "States": {"Work": work}}),
        )
        started = self.sfn.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps(event or {})
        )
        return str(started["executionArn"])

    def read(self) -> Status:
        reader = StatusReader(self.settings)
        try:
            return reader.read([self.activity])
        finally:
            reader.close()

    def status(self) -> ActivityStatus:
        return next(row for row in self.read().activities if row.activity == self.activity)

    def queued(self) -> list[dict[str, Any]]:
        """The messages in the task's queue."""
        with redis.Redis.from_url(self.valkey_url, decode_responses=True) as client:
            return [json.loads(text) for text in client.lrange(self.queue, 0, -1)]

    def keys(self, pattern: str) -> dict[str, str]:
        with redis.Redis.from_url(self.valkey_url, decode_responses=True) as client:
            root = self.settings.root_key
            return {key: client.get(key) for key in client.keys(f"{root}:{pattern}")}

    def pollers(self) -> list[str]:
        return self.read().pollers

    def recover(self) -> recovery.RecoveryCounts:
        """One pass of recovery, as beat does it."""

        async def recover():
            claims = ClaimStore(self.settings)
            try:
                return await recovery.recover(
                    store=claims, jobs=self.jobs, dispatcher=Dispatcher(self.app.bridge)
                )
            finally:
                await claims.close()

        return asyncio.run(recover())


def nothing(**fields: Any) -> dict[str, Any]:
    return {"polled": 0, "claimed": 0, "dispatched": 0, "failed": 0, "refused": "", **fields}
