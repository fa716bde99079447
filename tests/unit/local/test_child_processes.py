"""Child processes become ready, fail with their log, and end with their context."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.local.child_processes import (
    ProcessFailed,
    background,
    clean_environment,
    free_port,
    listens,
    wait_ready,
)

SLEEP = "print('started', flush=True); import time; time.sleep(60)"
FAIL = "import sys; print('no config', flush=True); sys.exit(3)"


def python(code):
    return [sys.executable, "-c", code]


def test_a_process_runs_until_its_context_ends(tmp_path):
    log = tmp_path / "log"
    with background(python(SLEEP), env=clean_environment(), log=log) as process:
        assert wait_ready(lambda: "started" in log.read_text(), process, log=log)
        assert process.poll() is None
    assert process.poll() is not None


def test_a_process_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.local.child_processes.STOP_TIMEOUT_S", 0.2)
    log = tmp_path / "log"
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
    with background(python(code), env=clean_environment(), log=log) as process:
        wait_ready(lambda: "started" in log.read_text(), process, log=log)
    assert process.returncode == -9


def test_a_process_that_ends_early_fails_with_its_status_and_log(tmp_path):
    log = tmp_path / "log"
    with (
        pytest.raises(ProcessFailed, match=r"status 3; .*log:\nno config"),
        background(python(FAIL), env=clean_environment(), log=log) as process,
    ):
        wait_ready(lambda: False, process, log=log)


def test_a_process_that_is_never_ready_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("bridge.local.child_processes.START_TIMEOUT_S", 0.2)
    log = tmp_path / "log"
    with (
        pytest.raises(ProcessFailed, match="not ready within"),
        background(python(SLEEP), env=clean_environment(), log=log) as process,
    ):
        wait_ready(lambda: False, process, log=log)


def test_the_environment_has_no_variables_of_other_deployments(monkeypatch):
    for name in ("AWS_PROFILE", "BRIDGE_LEASE_S", "CELERY_BROKER_URL"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("LANG", "C.UTF-8")
    env = clean_environment()
    assert env["LANG"] == "C.UTF-8"
    assert not [name for name in env if name.startswith(("AWS_", "BRIDGE_", "CELERY_"))]


def test_commands_of_this_python_are_found_first():
    env = clean_environment()
    found = subprocess.run(["celery", "--version"], env=env, capture_output=True, check=False)
    assert found.returncode == 0


def test_a_free_port_has_no_listener():
    assert not listens(free_port())
