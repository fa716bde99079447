"""Poll from AWS Lambda instead of a poller: an invocation sends one poll for each activity.

It suits fleets whose poller should cost nothing while there is no work; docs/lambda.md says what
that costs instead. The beat process sends reports and heartbeats.

A function that is frozen or killed while its poll is open loses the task that the poll brings. So a
poll is begun only if the time that is left is enough for all of it. Nothing stays open between two
invocations, because connections do not survive a freeze.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from celery import Celery
from celery.app.utils import find_app
from kombu import Producer

from bridge.app_state import Installation, installed, process_name
from bridge.errors import BridgeError, SettingsError
from bridge.loops.dispatcher import Dispatcher
from bridge.loops.poller import Poller
from bridge.metrics import Meters
from bridge.model import Claim
from bridge.processes import poll
from bridge.settings import Settings
from bridge.stepfunctions import Clients, Places, resolve
from bridge.stepfunctions.aws import CONNECT_TIMEOUT_S
from bridge.store import ClaimStore, PollRefusal

logger = logging.getLogger(__name__)

GRANT_S = 5.0
"""The store answers within this time, or no poll is opened."""
AFTERWARDS_S = 20.0
"""Time to store and dispatch what a poll brings in its last moment, with slow servers."""
ERROR_LOG_S = 2.0
"""Time to log what went wrong before Lambda kills the function."""
NOT_POLLED = "no poll is opened: %s"
REASONS = {
    PollRefusal.THROTTLED: "throttled: Step Functions refuses calls that matter more",
    PollRefusal.NO_WORKER: "no worker serves the queue",
    PollRefusal.HELD_BACK: "held back: the workers have claims that wait for the rate_limit",
    PollRefusal.COVERED: "covered: another poller has a poll open, which takes the next task",
    PollRefusal.NO_ROOM: "no room: the slots and the waiting room of the workers are taken",
    PollRefusal.SHARE: "share: this poller has its part of the room, the rest is for other pollers",
}


class TaskLost(BridgeError):
    """The function's time is over, and a poll is still open or its task is not stored."""


class LambdaContext(Protocol):
    """The part of Lambda's context object that is used."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda kills the invocation."""


@dataclass(slots=True)
class Result:
    """What an invocation did.

    Attributes:
        polled: How many polls were opened.
        claimed: How many tasks they brought, which are stored as claims.
        dispatched: How many of their jobs are published; recovery publishes the others.
        failed: How many polls Step Functions refused; the log says why.
        refused: Why no poll was opened; empty: at least one was.
    """

    polled: int = 0
    claimed: int = 0
    dispatched: int = 0
    failed: int = 0
    refused: str = ""


class Function:
    """A Lambda handler for one app, which it keeps for the next invocations.

    Args:
        app: By default the app that the variable APP names as ``celery -A`` would, else ``bridge``.
    """

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app
        self._arns: dict[str, str] = {}

    def __call__(self, event: Mapping[str, Any] | None, context: LambdaContext) -> dict[str, Any]:
        """Poll once for ``event["activity"]``; without it, once for each activity, together.

        Returns:
            A ``Result``, as a dict.

        Raises:
            SettingsError: A setting, the activity, or the function's time-out is impossible.
            StoreUnavailable: Redis does not answer; no poll was opened.
            StepFunctionsError: Step Functions refused every poll.
            TaskLost: Time ran out with a poll open or a task not stored.
        """
        given_s = context.get_remaining_time_in_millis() / 1000
        app = self._app = self._app or find_app(os.environ.get("APP", "bridge"))
        bridge = installed(app)
        needed_s = time_needed_s(bridge.settings)
        if given_s < needed_s:
            raise SettingsError(
                f"the function has {given_s:.0f} s left at its start, and a poll may take "
                f"{needed_s:.0f} s: killed in between, it would lose a task. Set its time-out to "
                f"{needed_s + 25:.0f} s, at least."
            )
        arns = self._resolve(bridge, event or {})
        left_s = context.get_remaining_time_in_millis() / 1000
        if left_s < needed_s:
            result = Result(
                refused=f"{left_s:.0f} s are left after the start, and a poll may take "
                f"{needed_s:.0f} s"
            )
            logger.warning(NOT_POLLED, result.refused)
        else:
            try:
                with asyncio.Runner() as runner:
                    result = runner.run(self._poll(bridge, arns, left_s - ERROR_LOG_S))
            finally:
                pool = app.pool
                pool.resize(pool.limit, reset=True)
        logger.info(
            "polled %(polled)d, claimed %(claimed)d, dispatched %(dispatched)d, failed %(failed)d",
            asdict(result),
        )
        return asdict(result)

    def _resolve(self, bridge: Installation, event: Mapping[str, Any]) -> dict[str, str]:
        """The activities to poll → ARN."""
        if bridge.app.conf.task_always_eager:
            raise SettingsError(
                "task_always_eager is on: jobs would run inside the function. Turn it off."
            )
        registry = bridge.load_tasks()
        wanted = [event["activity"]] if "activity" in event else [*registry]
        if unknown := [each for each in wanted if each not in [*registry]]:
            raise SettingsError(
                f"the event's activity {unknown[0]!r} is none of {', '.join(registry)}: no worker "
                "could run its tasks. Name one of those, or deploy its task too."
            )
        if new := [activity for activity in wanted if activity not in self._arns]:
            self._arns |= resolve(new, Places(bridge.settings.roles))
        arns = {activity: self._arns[activity] for activity in wanted}
        poll.refuse_duplicate_activities(arns)
        return arns

    async def _poll(self, bridge: Installation, arns: Mapping[str, str], within_s: float) -> Result:
        """Open the first polls of a poller, one of each activity at most, and drain it."""
        ends = asyncio.get_running_loop().time() + within_s
        dispatcher, counts = _CountingDispatcher(bridge), _Counts()
        errors: list[Exception] = []
        store = ClaimStore(bridge.settings)
        clients = Clients(Places(bridge.settings.roles))
        try:
            poller = Poller(
                registry=bridge.registry,
                arns=arns,
                clients=clients,
                store=store,
                dispatcher=dispatcher,
                settings=bridge.settings,
                name=process_name(),
                meters=counts,
                grant_timeout_s=GRANT_S,
                on_poll_error=errors.append,
            )
            # If the store does not answer, this raises, and nothing is open.
            await poller.ask_for_polls()
            poller.drain()
            finishing = asyncio.create_task(poller.finish())
            await asyncio.wait({finishing}, timeout=ends - asyncio.get_running_loop().time())
            left = poller.unfinished_work()
        finally:
            await poll.end_tasks()
            await clients.close()
            await store.close()
        if left.open_polls or left.unstored:
            raise TaskLost(
                f"the function's time is over with {left.open_polls} polls not at an end and the "
                f"tasks of claims {left.unstored or 'none'} not stored: Step Functions tries such "
                "tasks again after their HeartbeatSeconds or TimeoutSeconds only. See the errors "
                "above; a store that is often slow needs a longer time-out of the function."
            )
        if errors and counts.failed == counts.polls:
            raise errors[-1]
        return Result(
            polled=counts.polls,
            claimed=counts.claims,
            dispatched=dispatcher.published,
            failed=counts.failed,
            refused="" if counts.polls else _log_refusals(poller.refusals),
        )


class _Counts(Meters):
    polls = claims = failed = 0

    def polled(self, activity: str, result: str) -> None:
        self.polls += 1
        self.failed += result == "error"

    def claimed(self, activity: str) -> None:
        self.claims += 1


class _CountingDispatcher(Dispatcher):
    published = 0

    def publish(self, claim: Claim, *, retry: int = 0, producer: Producer | None = None) -> None:
        super().publish(claim, retry=retry, producer=producer)
        self.published += 1


def _log_refusals(refusals: Mapping[str, PollRefusal]) -> str:
    """Log why no poll was granted, each reason with its activities; the same as text."""
    activities: dict[PollRefusal, list[str]] = {}
    for activity, why in refusals.items():
        activities.setdefault(why, []).append(activity)
    text = "; ".join(f"{REASONS[why]} ({', '.join(its)})" for why, its in activities.items())
    # Where another poller has a poll open, that one takes the next task, and nothing is wrong.
    covered = activities.keys() == {PollRefusal.COVERED}
    logger.log(logging.INFO if covered else logging.WARNING, NOT_POLLED, text)
    return text


def time_needed_s(settings: Settings) -> float:
    """Seconds that one invocation may need after its start: grant, poll, store, dispatch."""
    return GRANT_S + CONNECT_TIMEOUT_S + settings.poll_timeout_s + AFTERWARDS_S


handler = Function()
"""For ``Handler: bridge.aws_lambda.handler``."""
