"""Step Functions and a dispatcher that fail as a test says, for the loops on a real store."""

from __future__ import annotations

import asyncio
from collections import deque

from bridge.loops.dispatcher import BrokerUnavailable
from bridge.loops.poller import Poller
from bridge.metrics import Meters
from bridge.model import Job
from bridge.processes.poll import end_tasks
from bridge.stepfunctions import ActivityTask


class FaultyClient:
    """Answers as scripted, then without a fault; notes what it was asked."""

    throttled = ()

    def __init__(self, *polls, calls=()):
        self.polls, self.calls = deque(polls), deque(calls)
        self.polled = 0
        self.sent: list[tuple[str, str]] = []
        self.at_once = self.most_at_once = 0

    def of(self, activity):
        """It is the clients of all places, too."""
        return self

    def place_of(self, activity):
        return ""

    async def get_activity_task(self, arn, *, worker_name, read_timeout_s):
        self.polled += 1
        if not self.polls:
            await asyncio.sleep(60)
        answer = self.polls.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _call(self, kind, token):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.005)
        self.at_once -= 1
        self.sent.append((kind, token))
        fault = self.calls.popleft() if self.calls else None
        if fault is not None:
            raise fault

    async def send_task_heartbeat(self, token, *, urgency=0.0):
        await self._call("heartbeat", token)

    async def send_task_success(self, token, output):
        await self._call("success", token)

    async def send_task_failure(self, token, *, error, cause):
        await self._call(error, token)


class FaultyDispatcher:
    def __init__(self, faults=0):
        self.faults = faults
        self.published: list[Job] = []

    def publish(self, claim, *, retry=0):
        if self.faults:
            self.faults -= 1
            raise BrokerUnavailable("the broker is away")
        self.published.append(claim.job)

    def publish_all(self, claims):
        return [self._failure(claim) for claim in claims]

    def _failure(self, claim):
        try:
            self.publish(claim)
        except BrokerUnavailable as exc:
            return exc
        return None


class Counting(Meters):
    """Notes the errors of what was reported, and whether Step Functions took them."""

    def __init__(self):
        self.reports = []

    def reported(self, ended, error, *, taken):
        self.reports.append((error, taken))


ARN = "arn:aws:states:us-east-1:123456789012:activity:resize"
TASK = ActivityTask(token="token-1", input='{"n": 1}')


def polling(store, registry, client, dispatcher, until, *, claims=None):
    """Run a poller until the condition holds."""

    async def main():
        poller = Poller(
            registry=registry,
            arns={"resize": ARN},
            clients=client,
            dispatcher=dispatcher,
            store=claims or store.claims,
            settings=store.settings,
            name="p1",
        )
        running = asyncio.create_task(poller.run())
        async with asyncio.timeout(15):
            while not until():
                await asyncio.sleep(0.02)
                store.worker()
        assert not running.done()
        await end_tasks()

    store.worker()
    store.run(main())


def wait_until_due(store, seconds):
    store.run(asyncio.sleep(seconds))
