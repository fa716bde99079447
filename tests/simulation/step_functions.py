"""A simulated Step Functions: activities, tokens, both clocks, and calls that may go wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.errors import (
    AccessDenied,
    InvalidRequest,
    ServiceUnavailable,
    Throttled,
    TokenClosed,
)
from bridge.model import claim_id_of
from bridge.stepfunctions import ActivityTask
from tests.simulation.plans import HEARTBEAT_TIMEOUT, SUCCEEDED, Plan
from tests.simulation.process import PROCESS

if TYPE_CHECKING:
    from tests.simulation.world import World

TOKEN = "SECRET-TOKEN-"
"""How every task token begins."""
HOLD_S = 60.0
THROTTLED_FOR_S = 2.0
CALL_TIMEOUT_S = 10.0
REFUSED_OUTPUT = "refuse me"


@dataclass(eq=False)
class Execution:
    """One execution, whose only state is an activity task.

    Attributes:
        token: Empty until a poll has taken the task.
        ended: SUCCEEDED, an error name, or ``"aborted"``; empty: it runs.
    """

    plan: Plan
    began_s: float
    token: str = ""
    claimed_s: float = 0.0
    ended: str = ""
    ended_s: float = 0.0
    answer_lost: bool = False
    _silence: asyncio.TimerHandle | None = None
    _timeout: asyncio.TimerHandle | None = None


class StepFunctions:
    """The service; ``clients`` of a process are made by ``clients_of``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.executions: list[Execution] = []
        self._by_token: dict[str, Execution] = {}
        self._by_claim: dict[str, Execution] = {}
        self._tasks: dict[str, deque[Execution]] = {}
        self._polls: dict[str, deque[asyncio.Future[Execution | None]]] = {}

    def start(self, plan: Plan) -> None:
        """Begin an execution."""
        execution = Execution(plan, self._world.now_s)
        self.executions.append(execution)
        self._world.trace("execution", plan.number, plan.kind.activity, plan.ending)
        self._tasks.setdefault(plan.kind.arn, deque()).append(execution)
        if plan.stopped_after_s is not None:
            self._world.call_later(plan.stopped_after_s, self._end, execution, "aborted")
        self._hand_out(plan.kind.arn)

    @property
    def all_ended(self) -> bool:
        return all(execution.ended for execution in self.executions)

    def of_claim(self, claim_id: str) -> Execution | None:
        """The execution whose task this claim is of."""
        return self._by_claim.get(claim_id)

    def _hand_out(self, arn: str) -> None:
        tasks, polls = self._tasks.setdefault(arn, deque()), self._polls.setdefault(arn, deque())
        while tasks and polls:
            if polls[0].done():
                polls.popleft()
            elif tasks[0].ended:
                tasks.popleft()
            else:
                execution, poll = tasks.popleft(), polls.popleft()
                self._begin_clocks(execution)
                poll.set_result(execution)

    def _begin_clocks(self, execution: Execution) -> None:
        plan = execution.plan
        execution.token = f"{TOKEN}{plan.number}-{self._world.seed}"
        execution.claimed_s = self._world.now_s
        self._by_token[execution.token] = execution
        self._by_claim[claim_id_of(execution.token)] = execution
        self._world.trace("claimed", plan.number)
        execution._timeout = self._world.call_later(
            plan.timeout_s, self._end, execution, "States.Timeout"
        )
        self._hear(execution)

    def _hear(self, execution: Execution) -> None:
        if execution._silence is not None:
            execution._silence.cancel()
        execution._silence = self._world.call_later(
            execution.plan.heartbeat_s, self._end, execution, HEARTBEAT_TIMEOUT
        )

    def _end(self, execution: Execution, how: str) -> None:
        if not execution.ended:
            execution.ended, execution.ended_s = how, self._world.now_s
            for timer in (execution._silence, execution._timeout):
                if timer is not None:
                    timer.cancel()
            self._world.trace("ended", execution.plan.number, how)
            self._world.observer.tokens.execution_ended(execution)

    async def poll(self, arn: str) -> Execution | None:
        """Hold a poll until a task comes; None after a minute."""
        found: asyncio.Future[Execution | None] = self._world.loop.create_future()
        self._polls.setdefault(arn, deque()).append(found)
        self._hand_out(arn)
        # Step Functions does not notice that a poller has died: the timer is the service's own.
        self._world.call_later(HOLD_S, lambda: found.done() or found.set_result(None))
        return await found

    def report(self, token: str, how: str) -> None:
        """Take an outcome, or say that the token is closed."""
        self._end(self._open(token), how)

    def heartbeat(self, token: str) -> None:
        """Take a heartbeat, or say that the token is closed."""
        execution = self._open(token)
        self._world.observer.tokens.heartbeat_came(execution)
        self._hear(execution)

    def _open(self, token: str) -> Execution:
        execution = self._by_token.get(token)
        if execution is None:
            raise TokenClosed("the token is none", code="InvalidToken")
        if execution.ended:
            self._world.observer.tokens.closed_token_was_used(execution)
            raise TokenClosed("the task has timed out, or ended", code="TaskTimedOut")
        return execution


class Clients:
    """What the loops of one process get: stands in for ``bridge.stepfunctions.Clients``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._service = world.step_functions
        self._throttled_at_s = float("-inf")

    @property
    def throttled(self) -> list[str]:
        recently = self._world.now_s - self._throttled_at_s < THROTTLED_FOR_S
        return [""] if recently else []

    def of(self, activity: str) -> Clients:
        """One place serves all activities."""
        return self

    def place_of(self, activity: str) -> str:
        return ""

    async def get_activity_task(
        self, arn: str, *, worker_name: str, read_timeout_s: float
    ) -> ActivityTask | None:
        await self._go("GetActivityTask")
        execution = await self._service.poll(arn)
        await asyncio.sleep(self._world.faults.call_latency_s())
        if execution is None:
            return None
        if self._world.faults.loses("poll answer"):
            execution.answer_lost = True
            await asyncio.sleep(5.0)
            raise ServiceUnavailable("the answer of a poll was lost")
        event = f'{{"execution": {execution.plan.number}}}'
        return ActivityTask(token=execution.token, input=event)

    async def send_task_heartbeat(self, token: str, *, urgency: float = 0.0) -> None:
        await self._call("SendTaskHeartbeat", lambda: self._service.heartbeat(token))

    async def send_task_success(self, token: str, output: str) -> None:
        if REFUSED_OUTPUT in output:
            await self._go("SendTaskSuccess")
            raise InvalidRequest("Step Functions refuses the output", code="InvalidOutput")
        await self._call("SendTaskSuccess", lambda: self._service.report(token, SUCCEEDED))

    async def send_task_failure(self, token: str, *, error: str, cause: str) -> None:
        await self._call("SendTaskFailure", lambda: self._service.report(token, error))

    async def _call(self, name: str, take: Callable[[], None]) -> None:
        """One call; its request or answer may be lost, and the network may repeat it."""
        faults = self._world.faults
        await self._go(name)
        take()
        if faults.loses("call answer"):
            await asyncio.sleep(CALL_TIMEOUT_S)
            if faults.loses("repeated call"):
                raise ServiceUnavailable(f"the answer of {name} was lost")
            take()
        await asyncio.sleep(faults.call_latency_s())

    async def _go(self, name: str) -> None:
        """A request's way to Step Functions, and its refusals."""
        faults = self._world.faults
        await asyncio.sleep(faults.call_latency_s())
        process = PROCESS.get()
        refusal = faults.refusal(name)
        if refusal:
            self._world.trace("refused", process and process.name, name, refusal)
        if refusal == "throttled":
            self._throttled_at_s = self._world.now_s
            raise Throttled(f"{name} is throttled", code="ThrottlingException")
        if refusal == "denied":
            raise AccessDenied(f"{name} is denied", code="AccessDeniedException")
        if refusal == "away":
            await asyncio.sleep(CALL_TIMEOUT_S)
            raise ServiceUnavailable(f"no answer to {name}")
