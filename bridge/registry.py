"""Collect and check the activities of an app: the task of each, and its options.

An activity is given to a task by the task's ``activity=`` option, by ``BRIDGE_ACTIVITIES``, or by
``bridge.bind`` for a task that cannot be edited. The checks are the same for all three.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from celery import Celery, Task
from celery.exceptions import QueueNotFound

from bridge.errors import SettingsError
from bridge.names import check_activity
from bridge.settings import Settings

SYSTEM_QUEUE = "bridge.system"
"""The queue of the bridge's own periodic tasks, which the beat process serves."""
ACTIVITY_HEADER = "bridge_activity"
"""Message header with the activity of a job. Celery keeps it when a job is retried."""
OPTIONS = ("heartbeat", "on_lost", "max_attempts", "terminate_on_cancel")

MAX_HEARTBEAT_S = 86_400

OnLost = Literal["fail", "retry"]


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity and the Celery task that does its work.

    Attributes:
        name: Name of the activity, or its full ARN, as registered.
        task: The Celery task.
        queue: Celery queue for its jobs.
        heartbeat_s: Interval between heartbeats.
        manual: Whether heartbeats are sent only while the job calls
            ``bridge.current().heartbeat()``.
        on_lost: Whether a claim fails or runs again when its worker died.
        max_attempts: The most runs of one claim, with ``on_lost="retry"``.
        terminate_on_cancel: Whether a job is killed when its token is closed.
    """

    name: str
    task: Task = field(repr=False)
    queue: str
    heartbeat_s: float
    manual: bool = False
    on_lost: OnLost = "fail"
    max_attempts: int = 3
    terminate_on_cancel: bool = False

    @property
    def allowed_attempts(self) -> int:
        """The most runs of a claim whose workers die."""
        return self.max_attempts if self.on_lost == "retry" else 1


class Registry(Mapping[str, Activity]):
    """The activities of one app, by name or ARN as registered."""

    def __init__(self, activities: Iterable[Activity]) -> None:
        self._by_name = {activity.name: activity for activity in activities}

    def __getitem__(self, name: str) -> Activity:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def of_job(self, name: object, task: Task | None) -> Activity | None:
        """The activity of a job of this task; None when it is not known.

        Args:
            name: The activity's name in the job's message. A task may serve several activities.
                Messages of older versions have no name: then the task's first activity is used.
            task: The task of the job.
        """
        activity = self.get(name) if isinstance(name, str) else None
        if activity is not None and (task is None or activity.task is task):
            return activity
        return next((a for a in self.values() if a.task is task), None)

    @property
    def queues(self) -> list[str]:
        """The queues for jobs of the activities, sorted."""
        return sorted({activity.queue for activity in self.values()})

    @cached_property
    def task_names(self) -> frozenset[str]:
        """Names of the tasks that have an activity."""
        return frozenset(activity.task.name for activity in self.values())


@dataclass(frozen=True, slots=True)
class _Binding:
    task: Task | str
    options: Mapping[str, Any]
    origin: str


_bindings: dict[str, _Binding] = {}


def bind(activity: str, task: Task | str, **options: Any) -> None:
    """Give an existing Celery task an activity, without editing the task.

    Args:
        activity: Name or full ARN.
        task: The task, or its name; it is looked up when the app starts.
        **options: ``heartbeat``, ``on_lost``, ``max_attempts``, ``terminate_on_cancel``; they
            replace the options of the task.

    Raises:
        SettingsError: The activity is bound already, or an option is unknown.
    """
    check_activity(activity)
    unknown = set(options) - set(OPTIONS)
    if unknown:
        raise SettingsError(
            f"bind({activity!r}): no such option {', '.join(sorted(unknown))}; "
            f"known: {', '.join(OPTIONS)}."
        )
    if activity in _bindings:
        raise SettingsError(f"activity {activity!r} is bound twice; an activity has one task.")
    _bindings[activity] = _Binding(task, options, "bridge.bind")


def build(app: Celery, settings: Settings) -> Registry:
    """Collect and check the activities of an app whose tasks are all imported.

    Raises:
        SettingsError: A name or option is wrong, a task is missing, or an activity has two tasks.
    """
    bindings = dict(_bindings)
    for name, task_name in settings.activities.items():
        if name in bindings:
            raise SettingsError(f"activity {name!r} is in BRIDGE_ACTIVITIES and in bridge.bind.")
        bindings[name] = _Binding(task_name, {}, "BRIDGE_ACTIVITIES")
    found: dict[str, Activity] = {}
    for name, binding in bindings.items():
        found[name] = _activity(app, settings, name, _lookup(app, name, binding), binding.options)
    for task in app.tasks.values():
        option = getattr(task, "activity", None)
        if option is None:
            continue
        name = check_activity(option)
        other = found.get(name)
        if other is not None and other.task.name != task.name:
            raise SettingsError(
                f"activity {name!r} has two tasks, {other.task.name} and {task.name}: "
                "only one can run its jobs. Give one of them another activity."
            )
        if other is None:
            found[name] = _activity(app, settings, name, task, {})
    return Registry(found[name] for name in sorted(found))


def _lookup(app: Celery, activity: str, binding: _Binding) -> Task:
    name = binding.task if isinstance(binding.task, str) else binding.task.name
    if name not in app.tasks:
        raise SettingsError(
            f"{binding.origin} gives activity {activity!r} to task {name!r}, which is not "
            "registered. Import its module, or name it in BRIDGE_TASKS."
        )
    return app.tasks[name]


def _activity(
    app: Celery, settings: Settings, name: str, task: Task, options: Mapping[str, Any]
) -> Activity:
    where = f"activity {name!r} (task {task.name})"
    option = {key: options.get(key, getattr(task, key, None)) for key in OPTIONS}
    heartbeat_s, manual = _heartbeat(where, option["heartbeat"], settings)
    on_lost: OnLost = "fail" if option["on_lost"] is None else option["on_lost"]
    if on_lost not in ("fail", "retry"):
        raise SettingsError(f'{where}: on_lost={on_lost!r} is neither "fail" nor "retry".')
    max_attempts = option["max_attempts"]
    if max_attempts is None:
        max_attempts = settings.max_attempts
    if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
        raise SettingsError(
            f"{where}: max_attempts={max_attempts!r} is not a whole number above 0."
        )
    terminate = option["terminate_on_cancel"]
    if not isinstance(terminate, bool | None):
        raise SettingsError(
            f"{where}: terminate_on_cancel={terminate!r} is neither True nor False."
        )
    try:
        queue = _queue(app, task)
    except QueueNotFound as exc:
        missing = re.search(r"'([^']+)'", str(exc.args[0]))
        raise SettingsError(
            f"{where}: {undeclared(missing[1] if missing else app.conf.task_default_queue)}"
        ) from None
    if queue == SYSTEM_QUEUE:
        raise SettingsError(
            f"{where}: its queue is {SYSTEM_QUEUE!r}, which belongs to the bridge: only the beat "
            "process consumes it. Choose another queue."
        )
    _check_arity(where, task)
    return Activity(
        name=name,
        task=task,
        queue=queue,
        heartbeat_s=heartbeat_s,
        manual=manual,
        on_lost=on_lost,
        max_attempts=max_attempts,
        terminate_on_cancel=bool(terminate),
    )


def serves_users(queues: Iterable[str]) -> bool:
    """Whether a worker with these queues is more than a beat process."""
    return set(queues) != {SYSTEM_QUEUE}


def undeclared(queue: str) -> str:
    """The message for a queue that Celery does not have and will not create."""
    return (
        f"queue {queue!r} is not in task_queues, and task_create_missing_queues is off, so "
        f"Celery has no such queue. Add kombu.Queue({queue!r}) to task_queues."
    )


def _heartbeat(where: str, heartbeat: Any, settings: Settings) -> tuple[float, bool]:
    if heartbeat is None:
        return settings.heartbeat_s, False
    if heartbeat == "manual":
        return settings.heartbeat_s, True
    number = isinstance(heartbeat, int | float) and not isinstance(heartbeat, bool)
    if not number or not 0 < heartbeat <= MAX_HEARTBEAT_S:
        raise SettingsError(
            f'{where}: heartbeat={heartbeat!r} is neither "manual" nor a number of seconds above '
            f"0 and up to {MAX_HEARTBEAT_S:,}, a day."
        )
    if heartbeat < settings.tick_s:
        raise SettingsError(
            f"{where}: heartbeat={heartbeat:g} s is below BRIDGE_TICK_S={settings.tick_s:g}: "
            "heartbeats are sent at most once in each tick interval. Use a shorter one."
        )
    return float(heartbeat), False


def _queue(app: Celery, task: Task) -> str:
    """The queue that Celery's own routing sends the task to."""
    options = {"queue": task.queue} if getattr(task, "queue", None) else {}
    route = app.amqp.router.route(options, task.name, task_type=task)
    queue = route.get("queue")
    return str(getattr(queue, "name", queue) or app.conf.task_default_queue)


def _check_arity(where: str, task: Task) -> None:
    if not task.typing:
        return
    try:
        # Celery makes no __header__ for a task that is written as a class.
        getattr(task, "__header__", inspect.signature(task.run).bind)(object())
    except TypeError as exc:
        raise SettingsError(
            f"{where}: it cannot be called with one argument, the decoded input ({exc}). "
            "Give it exactly one parameter, or give the others defaults."
        ) from None
