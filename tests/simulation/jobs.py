"""The Celery app of the simulation: the real bridge, and user tasks that do what plans say."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.app.trace import build_tracer
from celery.exceptions import Ignore, Reject

import bridge
from bridge.app_state import Installation
from bridge.errors import ActivityError
from bridge.settings import Settings
from bridge.worker.pools import POOLS
from bridge.worker.tasks import equip
from tests.simulation.clock import sleep
from tests.simulation.plans import Plan
from tests.simulation.settings import KINDS, MAX_ATTEMPTS, Kind
from tests.simulation.step_functions import REFUSED_OUTPUT

if TYPE_CHECKING:
    from tests.simulation.world import World

WORLD: ContextVar[World] = ContextVar("world")
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
LOOK_EVERY_S = 3.0
BEAT_EVERY_S = 10.0
SILENCE_S = 300.0


def run_plan(task: Any, kind: Kind, event: dict[str, Any]) -> Any:
    """The user's code of every activity."""
    world = WORLD.get()
    plan = world.plans[event["execution"]]
    job = bridge.current()
    run = world.observer.runs.begin(plan, job)
    try:
        _work(plan, job)
        if task.request.retries < plan.retries:
            # Celery publishes the retry here, and it may run before this run has ended.
            world.observer.runs.end(run)
            raise task.retry(countdown=plan.countdown_s, max_retries=None)
        return _end(plan)
    finally:
        world.observer.runs.end(run)


def _work(plan: Plan, job: Any) -> None:
    left_s = plan.duration_s
    if plan.ending == "silence":
        sleep(SILENCE_S)
        return
    if not plan.looks and not plan.kind.manual:
        sleep(left_s)
        return
    every_s = BEAT_EVERY_S if plan.kind.manual else LOOK_EVERY_S
    while left_s > 0:
        sleep(min(left_s, every_s))
        left_s -= every_s
        if plan.kind.manual:
            job.heartbeat()
        if plan.looks:
            job.checkpoint()


def _end(plan: Plan) -> Any:
    match plan.ending:
        case "ValueError":
            raise ValueError("as planned")
        case "ActivityError":
            raise ActivityError("Shop.Declined", "as planned")
        case "Reject":
            raise Reject("as planned", requeue=False)
        case "Ignore":
            raise Ignore("as planned")
        case "SystemExit":
            raise SystemExit(3)
        case "no JSON":
            return object()
        case "refused output":
            return REFUSED_OUTPUT
    return {"done": plan.number}


class App:
    """One Celery app with the bridge, which all simulated processes share.

    Attributes:
        installation: The bridge's part of it.
    """

    def __init__(self, settings: Settings) -> None:
        self.celery = Celery("simulation", broker="memory://", set_as_current=False)
        self.celery.conf.update(task_ignore_result=True, task_acks_late=True, broker_pool_limit=500)
        bridge.install(self.celery)
        installation = self.celery.bridge
        assert isinstance(installation, Installation)
        self.installation = installation
        installation.__dict__["settings"] = settings
        installation.pool = POOLS[0]
        for kind in KINDS:
            self._add(kind)
        self.celery.finalize()
        equip(self.celery)
        self._tracers = {
            activity.task.name: build_tracer(activity.task.name, activity.task, app=self.celery)
            for activity in installation.registry.values()
        }

    def _add(self, kind: Kind) -> None:
        def work(task: Any, event: Any) -> Any:
            return run_plan(task, kind, event)

        self.celery.task(
            work,
            bind=True,
            shared=False,
            name=f"tasks.{kind.activity}",
            activity=kind.activity,
            queue=kind.queue,
            on_lost=kind.on_lost,
            max_attempts=MAX_ATTEMPTS,
            terminate_on_cancel=kind.terminates,
            heartbeat="manual" if kind.manual else None,
        )

    def send_through(self, world: World) -> None:
        """Let Celery publish and revoke through the simulated broker."""

        def send(producer: Any, name: str, message: Any, **options: Any) -> None:
            queue, eta = options["queue"], message.headers["eta"]
            due_s = (datetime.fromisoformat(eta) - EPOCH).total_seconds() if eta else 0.0
            world.broker.publish(message, getattr(queue, "name", queue), due_s)

        self.celery.now = lambda: EPOCH + timedelta(seconds=world.now_s)
        self.celery.amqp.__dict__["send_task_message"] = send
        self.celery.control.revoke = world.broker.revoke

    def task(self, name: str) -> Any:
        """A task by its name."""
        return self.celery.tasks[name]

    def trace(self, task: str, job_id: str, args: list[Any], request: dict[str, Any]) -> Any:
        """Run a task as a child of Celery's pool does."""
        return self._tracers[task](job_id, args, {}, request)
