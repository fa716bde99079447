"""The table of endings: what it does about each exception, and that the documentation agrees."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import gevent
import greenlet
import pytest
from celery.exceptions import (
    Ignore,
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    WorkerShutdown,
    WorkerTerminate,
)

from bridge.errors import ActivityError, ErrorName
from bridge.model import Job
from bridge.worker import endings
from bridge.worker.current import JobCancelled
from bridge.worker.endings import ENDINGS, EndedItself, ending_of

ROOT = Path(__file__).parents[3]
DOCUMENTED = dict(
    re.findall(
        r"^\| (.+?) \| (.+?) \|$", (ROOT / "docs/endings.md").read_text("utf-8"), re.MULTILINE
    )
)

FOUND_ELSEWHERE = {
    "the task returns": "worker/task_runner.py",
    "the task raises `bridge.ActivityError(error, cause)`": "worker/outcome.py",
    "the return value is not JSON (NaN, bytes, lone surrogates, cycles)": "worker/outcome.py",
    "the output is over 262,144 bytes": "worker/outcome.py",
    "soft time limit": "worker/outcome.py",
    "the task's `expires` has passed": "worker/celery_signals.py",
    "the worker does not have the task": "worker/celery_signals.py",
    "the worker cannot read the message": "worker/celery_signals.py",
    "the job can never be published: its input cannot be decoded, the message cannot be encoded "
    "or routed, or it is too long for the broker": "loops/dispatcher.py",
    "no worker starts the job within `BRIDGE_PATIENCE_S`": "store/claims.py",
    'a job with `heartbeat="manual"` does not call `bridge.current().heartbeat()` for five '
    "intervals": "store/claims.py",
    "Step Functions refuses the output": "loops/reporter.py",
    "Step Functions refuses that failure, or any other": "loops/reporter.py",
    "the token was closed while the job ran (StopExecution, a time-out)": "worker/run.py",
}
"""Rows of docs/endings.md that are no exception of a task, and the module that stores them."""


class Recorder:
    """A run that notes what is written to the store."""

    def __init__(self, *, hard_limit_s: float | None = None):
        self.job, self.retry = Job("0" * 24, 1), 2
        self.current = SimpleNamespace(_published=True)
        request = SimpleNamespace(timelimit=(hard_limit_s, None))
        self.task = SimpleNamespace(request=request, time_limit=None)
        self.outcomes, self.released, self.events, self.shown = [], [], [], 0

    def settle(self, outcome):
        self.outcomes.append(outcome)

    def fail(self, outcome):
        self.settle(outcome)
        self.log_end("task_failed", status="failed", error=outcome.error)

    def release(self, *, retry, delay_s=0.0, published=True):
        self.released.append((retry, delay_s, published))

    def log_end(self, event, **_):
        self.events.append(event)

    def show_as_revoked(self):
        self.shown += 1


def ended(exc: BaseException, **run) -> tuple[Recorder, EndedItself | None]:
    return (recorder := Recorder(**run)), endings.end(recorder, exc)


@pytest.fixture
def in_pool_process(monkeypatch):
    monkeypatch.setattr(endings, "in_pool_process", lambda: True)


@pytest.mark.parametrize(
    ("exc", "error", "event"),
    [
        (ValueError("bad"), "ValueError", "task_failed"),
        (ActivityError("TooHot", "46"), "TooHot", "task_failed"),
        (SoftTimeLimitExceeded(), "SoftTimeLimitExceeded", "task_failed"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "task_failed"),
        (SystemExit(3), "SystemExit", "task_failed"),
        (MemoryError(), "MemoryError", "task_failed"),
        (Reject("no such file"), ErrorName.REJECTED, "task_failed"),
        (Ignore(), ErrorName.IGNORED, "task_failed"),
        (JobCancelled("stopped"), ErrorName.CANCELLED, "task_cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_an_exception_becomes_a_named_failure(exc, error, event):
    run, _ = ended(exc)
    assert [outcome.error for outcome in run.outcomes] == [error]
    assert (run.events, run.released) == ([event], [])


@pytest.mark.parametrize(
    ("exc", "released"),
    [
        (Retry(), (3, 0.0, True)),
        (Retry(when=4), (3, 4.0, True)),
        (Retry(when=datetime.now(UTC) - timedelta(days=1)), (3, 0.0, True)),
        (Reject(requeue=True), (2, 0.0, True)),
    ],
    ids=["retry", "countdown", "eta", "requeue"],
)
def test_a_job_that_runs_again_has_no_outcome_yet(exc, released):
    run, instead = ended(exc)
    assert (run.outcomes, run.released, instead) == ([], [released], None)


def test_a_retry_that_the_broker_did_not_take_is_left_to_recovery():
    run = Recorder()
    run.current._published = False
    endings.end(run, Retry())
    assert run.released == [(3, 0.0, False)]


@pytest.mark.parametrize(
    "exc", [WorkerShutdown(0), WorkerTerminate(1), greenlet.GreenletExit()], ids=repr
)
def test_the_end_of_a_worker_is_left_to_others(exc):
    run, instead = ended(exc)
    assert (run.outcomes, run.released, run.events, instead) == ([], [], [], None)


def test_a_hard_limit_of_gevent_is_left_to_the_parent_and_another_timeout_is_not():
    with gevent.Timeout(7) as of_the_pool:
        run, _ = ended(of_the_pool, hard_limit_s=7)
    assert run.outcomes == []
    with gevent.Timeout(5) as of_the_task:
        run, _ = ended(of_the_task, hard_limit_s=7)
    assert [outcome.error for outcome in run.outcomes] == ["Timeout"]


def test_what_would_end_a_worker_of_threads_ends_its_task_only():
    for exc in (SystemExit(3), MemoryError()):
        _, instead = ended(exc)
        assert isinstance(instead, EndedItself)


@pytest.mark.usefixtures("in_pool_process")
def test_in_a_child_sys_exit_is_a_failure_and_a_signal_is_left_to_the_parent():
    run, instead = ended(SystemExit(3))
    assert ([outcome.error for outcome in run.outcomes], instead) == (["SystemExit"], None)
    run, instead = ended(SystemExit(-(256 - signal.SIGTERM)))
    assert (run.outcomes, instead) == ([], None)


def test_only_a_job_that_celery_ignores_without_an_event_is_shown_as_revoked():
    assert ended(JobCancelled("stopped"))[0].shown == 1
    assert ended(Ignore())[0].shown == ended(ValueError())[0].shown == 0


class TestDocumentation:
    @pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.row)
    def test_has_each_row_with_its_outcome(self, ending):
        outcome = DOCUMENTED[ending.row]
        said = f"`{ending.outcome}`" if isinstance(ending.outcome, ErrorName) else ending.outcome
        assert outcome.startswith(said)

    def test_has_no_row_that_no_module_makes(self):
        rows = set(DOCUMENTED) - {"what happens in Celery", "---"}
        assert rows == {ending.row for ending in ENDINGS} | FOUND_ELSEWHERE.keys()

    @pytest.mark.parametrize("row", FOUND_ELSEWHERE)
    def test_names_an_error_that_the_module_stores(self, row):
        source = (ROOT / "bridge" / FOUND_ELSEWHERE[row]).read_text("utf-8")
        for name in re.findall(r"`(Bridge\.\w+)`", DOCUMENTED[row]):
            assert f"ErrorName.{ErrorName(name).name}" in source

    def test_names_each_module_that_sees_endings(self):
        text = (ROOT / "docs/endings.md").read_text("utf-8")
        for module in ("task_runner", "endings", "celery_signals"):
            assert f"bridge/worker/{module}.py" in text


def test_the_first_row_that_matches_counts():
    run = Recorder()
    assert ending_of(run, JobCancelled("stopped")).outcome == ErrorName.CANCELLED
    assert ending_of(run, Ignore()).outcome == ErrorName.IGNORED
    assert ENDINGS[-1].raised is BaseException
    assert ENDINGS[-1].when is None


def test_signal_codes_are_billiards():
    """billiard ends a child by sys.exit(-(256 - signal number))."""
    code = (
        "import os, signal, billiard.common as c, billiard.process\n"
        "c.reset_signals(full=True)\n"
        "try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "except SystemExit as exc: print(exc.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) in endings._SIGNAL_CODES
