"""Step Functions and a broker that accept everything, and note it."""

from __future__ import annotations

from bridge.model import Job


class Accepting:
    """Step Functions that accepts every call; also a dispatcher whose broker accepts every job."""

    throttled = ()

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.heartbeats: list[str] = []
        self.published: list[Job] = []

    def of(self, activity):
        return self

    async def send_task_heartbeat(self, token, *, urgency=0.0):
        self.heartbeats.append(token)

    async def send_task_success(self, token, output):
        self.reports.append(token)

    async def send_task_failure(self, token, *, error, cause):
        self.reports.append(token)

    def publish(self, claim, *, retry=0):
        self.published.append(claim.job)
