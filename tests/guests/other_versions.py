"""Runs tests of main path, kills, endings and drain with other versions of Celery and kombu.

The tests are those of ``make test``, run by an interpreter with other versions installed; ``make
test`` itself runs them with Celery 5.7 and all optimizations on. Each case is a file,
``test_with_….py``, so that several can run at the same time.
"""

from __future__ import annotations

import os
import subprocess

from bridge import versions
from tests.guests.environments import ROOT, environment

ENDINGS = (
    "test_a_failure_has_a_name",
    "test_a_success_at_the_edge",
    "test_a_hard_time_limit_is_named",
    "test_a_soft_time_limit_is_the_tasks_own_exception",
    "test_celery_retries_inside_one_claim",
    "test_exhausted_retries_fail_with_the_last_exception",
    "test_a_requeued_message_runs_again",
    "test_a_revoked_job_is_named",
    "test_what_would_end_a_worker_of_processes",
)
SELECTED = (
    # main path
    "tests/acceptance/test_main_path.py::TestMany::test_two_pollers_and_three_workers_run_each_input_once",
    "tests/acceptance/test_main_path.py::TestExistingApp::test_an_app_of_ten_lines_works",
    # kills
    "tests/faults/test_kills.py::TestWorker::test_the_job_of_a_killed_child_runs_again_or_fails",
    "tests/faults/test_kills.py::TestWorker::test_all_jobs_of_a_killed_worker_run_again_or_fail",
    # endings whose tests share one deployment
    *(f"tests/acceptance/test_endings.py::{name}" for name in ENDINGS),
    # drain
    "tests/acceptance/test_processes.py::TestDrain::test_a_worker_finishes_what_it_runs",
    "tests/acceptance/test_processes.py::TestDrain::"
    "test_a_task_that_an_open_poll_returns_is_dispatched[15]",
)
PARTS = (
    "tests/unit/worker/test_prefetch.py",
    "tests/unit/worker",
    "tests/integration/worker/redis_transport/test_batch_acks.py",
    "tests/integration/worker/redis_transport/test_kombu_fixes.py",
    "tests/faults/test_redis_away.py::test_nothing_is_lost_when_it_is_away_for_twenty_seconds[killed]",
)
"""Tests of the parts that reach inside Celery and kombu."""

ALL, FEW = (*SELECTED, *PARTS), (*SELECTED[:4], *PARTS[:4])
ASK = (
    "from bridge import versions as v; "
    "print(', '.join(f'{n} {\".\".join(map(str, v.installed_version(n)))}' "
    "for n in ('celery', 'kombu', 'redis')))"
)


def assert_tests_pass(
    *wanted: str, gives: str, tests: tuple[str, ...], optimizations: str = "on"
) -> None:
    """Run these tests in an environment of other versions.

    Args:
        wanted: Requirements, such as ``"celery==5.5.*"``.
        gives: The versions that pip chooses for them.
        optimizations: Value of ``BRIDGE_OPTIMIZATIONS``.
    """
    python = environment("-".join((*gives.split(", "), optimizations)).replace(" ", ""), *wanted)
    said = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == gives
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        env={**os.environ, versions.SWITCH: optimizations},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
