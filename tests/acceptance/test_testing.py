"""``bridge.testing`` as users have it: the tutorial's project with the tests of the how-to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.docs.pages import DOCS, blocks

pytestmark = pytest.mark.acceptance


@pytest.fixture
def shop(tmp_path) -> Path:
    """The files of both pages, each in the last version that is shown."""
    for page in ("tutorial.md", "howto/test.md"):
        for block in blocks(DOCS / page):
            if block.title and block.title.endswith(".py"):
                path = tmp_path / block.title
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text)
    return tmp_path


def run_pytest(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_tests_of_the_how_to_pass(shop):
    """They run one task, and a whole state machine; the servers of the environment are not used."""
    away = "redis://127.0.0.1:1/0"
    done = run_pytest(shop, "tests", CELERY_BROKER_URL=away, BRIDGE_STORE_URL=away)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout


ONE_TASK = """
import bridge, pytest
from bridge.worker.outcome import OutputRefused
from bridge.statemachine import Context
from celery import Celery, shared_task

app = Celery("alone")
tries = []

@shared_task(activity="a", autoretry_for=(OSError,), max_retries=2, default_retry_delay=0)
def often(event):
    tries.append(1)
    if len(tries) < 3:
        raise OSError("again")
    return len(tries)

@shared_task(activity="b")
def back(event):
    return event

@shared_task(activity="c")
def known(event):
    current = bridge.current()
    return [current.context.execution_name, current.cancelled, current.heartbeat()]

@shared_task(activity="d")
def wrong(event):
    return {1, 2}

def test_celerys_retries(run_activity):
    assert run_activity(often, {}) == 3

def test_through_json(run_activity):
    assert run_activity(back, {1: (2, 3)}) == {"1": [2, 3]}

def test_what_a_job_knows(run_activity):
    context = Context("arn", execution_name="seven")
    assert run_activity(known, {}, context=context) == ["seven", False, True]
    assert run_activity(known, {}, context=context, closed="TaskTimedOut") == ["seven", True, False]

def test_no_json(run_activity):
    with pytest.raises(OutputRefused, match="which is no JSON"):
        run_activity(wrong, {})

def test_it_is_over_afterwards(run_activity):
    run_activity(back, 1)
    with pytest.raises(LookupError):
        bridge.current()
"""


def test_one_task_as_a_job(tmp_path):
    (tmp_path / "test_it.py").write_text('pytest_plugins = ["bridge.testing"]' + ONE_TASK)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fleet_that_cannot_start_says_why(tmp_path):
    """No module has the tasks: the failure is the command's sentence."""
    (tmp_path / "test_it.py").write_text(
        'pytest_plugins = ["bridge.testing"]\ndef test_it(execute): ...\n'
    )
    done = run_pytest(tmp_path, BRIDGE_TASKS="nowhere")
    assert done.returncode == 1
    assert "BRIDGE_TASKS names 'nowhere', and there is no such module here" in done.stdout
