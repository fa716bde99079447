"""Runs an app of ``apps/`` and records what it did, so that two runs can be compared.

``run_app`` starts the app's processes, runs its ``drive.py``, and ends them. With the bridge, a
poller and the bridge's beat process run beside it, and executions start before ``drive.py`` and end
after it. What the bridge's own jobs did is left out of all records, except ``executions``.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from bridge.model import Job
from bridge.registry import SYSTEM_QUEUE
from tests.guests.host_app import HostApp
from tests.waiting import wait_until

PORT = re.compile(r"127\.0\.0\.1:\d+")
JOB = re.compile(r"Job: \d+")
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
EXECUTIONS = 6
ASPECTS = ("results", "done", "order", "events", "signals", "inspected")
"""The attributes of a run that must be the same with the bridge."""
Row = tuple[str, ...]


@dataclass
class AppRun:
    """What an app did in one run.

    Attributes:
        results: What ``drive.py`` printed: results, states, exceptions of the app's tasks.
        done: The notes of kind ``did``, which the app's tasks write, with counts.
        order: The notes of kind ``order``, in the order in which they were written.
        events: Task events: type, task, fields; with counts.
        signals: Signals that the app received: process, signal, task; with counts.
        inspected: What the workers answer to ``celery inspect``, by worker.
        executions: Status and output of each execution.
        output: Logs of all processes.
    """

    results: Any = None
    done: Counter[Row] = field(default_factory=Counter)
    order: list[Row] = field(default_factory=list)
    events: Counter[Row] = field(default_factory=Counter)
    signals: Counter[Row] = field(default_factory=Counter)
    inspected: dict[str, Any] = field(default_factory=dict)
    executions: list[tuple[str, Any]] = field(default_factory=list)
    output: str = ""


def run_app(
    host: HostApp,
    workers: Callable[[HostApp], None],
    *,
    activity: str,
    activity_task: str,
    broker_url: str,
    broker_options: dict[str, Any] | None = None,
    events: bool = True,
    prepare: Callable[[HostApp], object] | None = None,
    leave_out: Callable[[Row], bool] = lambda _: False,
) -> AppRun:
    """Run the app, and record what it did.

    Args:
        workers: Starts the app's processes.
        activity: The activity of the executions; the input of each is ``{"number": n}``.
        activity_task: The task that serves ``activity``.
        broker_url: The app's broker, which has its events.
        broker_options: The app's ``broker_transport_options`` that name keys.
        events: False if the broker has neither events nor remote control.
        prepare: Called before any process starts.
        leave_out: Rows of events and signals whose count depends on how long the run lasts.
    """
    run = AppRun()
    listener = _Listener(broker_url, broker_options) if events else None
    if prepare is not None:
        prepare(host)
    if host.bridge:
        host.start_bridge()
    workers(host)
    executions: list[str] = []
    if host.bridge:
        executions = host.execute(activity, *({"number": n} for n in range(EXECUTIONS)))
    run.results = json.loads(without_ids(host.script("drive.py")))
    if host.bridge:
        run.executions = host.ended(executions)
    if events:
        run.inspected = _inspect(host, _app_on(broker_url, broker_options), leave_out=activity_task)
    host.finish()
    if listener is not None:
        run.events = _kept(listener.rows(), leave_out)
    for kind in ("did", "order"):
        rows = [tuple(words) for words in host.notes(kind)]
        if kind == "did":
            run.done = Counter(rows)
        else:
            run.order = rows
    heard = Counter(
        (role, name, task)
        for role, name, task_id, task in host.notes("signal")
        if role != "bridge" and role != "command" and Job.parse(task_id) is None
    )
    run.signals = _kept(heard, leave_out)
    run.output = host.output
    return run


def _kept(rows: Counter[Row], leave_out: Callable[[Row], bool]) -> Counter[Row]:
    return Counter({row: number for row, number in rows.items() if not leave_out(row)})


class _Listener:
    """Receives the events that ``celery events`` receives."""

    def __init__(self, url: str, options: dict[str, Any] | None) -> None:
        self._heard: list[dict[str, Any]] = []
        self._app = _app_on(url, options)
        self._ready = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()
        assert self._ready.wait(30)

    def _listen(self) -> None:
        with suppress(Exception), self._app.connection() as connection:  # ends with the broker
            receiver = self._app.events.Receiver(connection, handlers={"*": self._heard.append})
            self._ready.set()
            receiver.capture(limit=None, timeout=None, wakeup=False)

    def rows(self) -> Counter[Row]:
        """Wait until every worker has sent worker-offline; the task events."""
        count = Counter[str]

        def all_offline() -> bool:
            kinds = count(e["type"] for e in self._heard if e["hostname"] != "bridge@host")
            return kinds["worker-offline"] >= kinds["worker-online"] > 0

        with suppress(AssertionError):  # the comparison shows what is missing
            wait_until(all_offline, timeout_s=20)
        names = {
            event["uuid"]: f"{event['name']}{event.get('args', '')}"
            for event in self._heard
            if event["type"] in ("task-sent", "task-received")
        }
        return Counter(
            (event["type"], _of(names, event), *_said(event))
            for event in self._heard
            if event["type"] != "worker-heartbeat"
            and event["hostname"] != "bridge@host"
            and Job.parse(event.get("uuid")) is None
        )


def _of(names: dict[str, str], event: dict[str, Any]) -> str:
    if "uuid" not in event:
        return event["hostname"]
    return without_ids(names.get(event["uuid"], "?"))


def _said(event: dict[str, Any]) -> list[str]:
    keys = ("queue", "routing_key", "exchange", "retries", "kwargs", "result", "exception")
    return [without_ids(f"{key}={event[key]}") for key in keys if key in event]


def without_ids(text: str) -> str:
    """The text with each task id, and each number of a pool's job, replaced by a word."""
    return JOB.sub("Job: <number>", UUID.sub("<id>", text))


def _app_on(url: str, options: dict[str, Any] | None) -> Celery:
    app = Celery("listener", broker=url, set_as_current=False)
    app.conf.broker_transport_options = options or {}
    return app


def _inspect(host: HostApp, app: Celery, *, leave_out: str) -> dict[str, Any]:
    """Those of the workers' answers that are the same in every run; not counts of ``leave_out``."""
    with app as asker:
        inspect = asker.control.inspect(timeout=10)

        def ask(kind: str) -> dict[str, Any]:
            answers = None
            with suppress(OperationalError):
                answers = getattr(inspect, kind)()
            return {
                worker: answer
                for worker, answer in sorted((answers or {}).items())
                if worker != "bridge@host"
            }

        names = list(ask("ping"))
        inspect = asker.control.inspect(destination=names, timeout=20, limit=len(names))
        return {
            "workers": names,
            "registered": {
                worker: [task for task in tasks if not task.startswith("bridge.")]
                for worker, tasks in ask("registered").items()
            },
            "queues": {
                worker: sorted(json.dumps(queue, sort_keys=True) for queue in queues)
                for worker, queues in ask("active_queues").items()
            },
            "stats": {worker: _lasting(stats) for worker, stats in ask("stats").items()},
            "total": _totals(ask("stats").values(), leave_out),
            "conf": {worker: _without_ours(conf, host) for worker, conf in ask("conf").items()},
        }


def _totals(stats: Iterable[dict[str, Any]], leave_out: str) -> Counter[str]:
    """How often each task ran on all workers together, because workers share queues."""
    totals: Counter[str] = Counter()
    for each in stats:
        totals.update(each["total"])
    del totals[leave_out]
    return totals


def _lasting(stats: dict[str, Any]) -> dict[str, Any]:
    kept = ("implementation", "max-concurrency", "max-tasks-per-child", "timeouts")
    return {
        "pool": {key: stats["pool"].get(key) for key in kept},
        "prefetch_count": stats["prefetch_count"],
    }


def _without_ours(conf: dict[str, Any], host: HostApp) -> dict[str, str]:
    """An app's settings without what the bridge adds: the module of its tasks in ``include``.

    An app that names all its queues has to name the bridge's, too: see the Flask app.
    """
    if isinstance(queues := conf.get("task_queues"), list):
        conf["task_queues"] = [queue for queue in queues if queue["name"] != SYSTEM_QUEUE]
    conf["include"] = sorted(m for m in conf.get("include", ()) if not m.startswith("bridge."))
    said = {key: PORT.sub("127.0.0.1:<port>", repr(value)) for key, value in conf.items()}
    return {key: value.replace(str(host.folder), "<folder>") for key, value in said.items()}


def assert_same(runs: tuple[AppRun, AppRun], aspect: str) -> None:
    """Assert that this attribute of both runs is the same."""
    without, with_ = (getattr(run, aspect) for run in runs)
    assert without, f"the app without the bridge has no {aspect}"
    if not isinstance(without, Counter):
        without, with_ = Counter(_flat(without)), Counter(_flat(with_))
    found = difference(without, with_)
    assert not found, "\n".join(found)


def _flat(value: Any, *path: str) -> Iterator[Row]:
    """Each leaf of nested dicts and lists, with the path to it."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, *path, str(key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _flat(each, *path, str(number))
    else:
        yield (*path, repr(value))


def difference(without: Counter[Row], with_: Counter[Row]) -> Sequence[str]:
    """The rows that only one run has, as text: "-" without the bridge, "+" with it."""
    return [f"- {row} ×{number}" for row, number in sorted((without - with_).items())] + [
        f"+ {row} ×{number}" for row, number in sorted((with_ - without).items())
    ]
