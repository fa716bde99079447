"""The hot calls as tests make them, with a client and pauses made for one test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from bridge.stepfunctions import (
    Connection,
    StepFunctions,
)
from bridge.support.backoff import RetryPolicy
from tests.unit.stepfunctions.server import (
    ACCOUNT,
    REGION,
)

ARN = f"arn:aws:states:{REGION}:{ACCOUNT}:activity:resize"
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAbL7+Secret/Token" + "x" * 400 + "=="
ONCE = RetryPolicy(attempts=1, base_s=0, cap_s=0)


class Pauses:
    """Stands in for sleep and jitter: waits for nothing, remembers everything."""

    def __init__(self, part: float = 1.0) -> None:
        self.part = part
        self.slept: list[float] = []
        self.ceilings: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.ceilings.append(high)
        return high * self.part


def call(action: Callable[[StepFunctions], Awaitable], **options):
    """Run one thing with a client made for it.

    The connection is spelt out, since botocore takes its time to find one.
    """
    connection = Connection(REGION, os.environ["AWS_ENDPOINT_URL_SFN"])

    async def main():
        async with StepFunctions(connection, **options) as client:
            return await action(client)

    return asyncio.run(main())


def poll(client: StepFunctions, **options):
    return client.get_activity_task(ARN, worker_name="w1", **options)


def heartbeat(client: StepFunctions, retry: RetryPolicy | None = None):
    return client.send_task_heartbeat(TOKEN, retry=retry)


def succeed(client: StepFunctions, output: str = "{}", retry: RetryPolicy | None = None):
    return client.send_task_success(TOKEN, output, retry=retry)


def fail(client: StepFunctions, error: str = "E", cause: str = "c"):
    return client.send_task_failure(TOKEN, error=error, cause=cause)
