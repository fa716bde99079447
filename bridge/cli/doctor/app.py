"""Checks of the app: its tasks, and the time that its processes need to stop."""

from __future__ import annotations

from bridge.app_state import Installation
from bridge.cli.doctor.result import CheckResult, ok

AFTER_POLL_S = 25.0
"""Time that a draining poller needs after its last poll: to store, dispatch and report."""


def check_tasks(bridge: Installation) -> CheckResult:
    """Which activities the app's tasks have.

    Raises:
        SettingsError: The settings or the tasks cannot be loaded.
    """
    registry = bridge.load_tasks()
    return ok("settings and tasks", f"{len(registry)} activities: {', '.join(registry)}")


def check_time_to_stop(bridge: Installation) -> CheckResult:
    """How long each process needs from SIGTERM on.

    No process can see when its container will be killed, so this only says how long to allow. A
    task without a time limit is named without a warning, because most such tasks end soon.
    """
    conf = bridge.app.conf
    poller_s = bridge.settings.poll_timeout_s + AFTER_POLL_S
    limits = {
        name: activity.task.time_limit
        or conf.task_time_limit
        or activity.task.soft_time_limit
        or conf.task_soft_time_limit
        for name, activity in bridge.registry.items()
    }
    endless = ", ".join(name for name, limit_s in limits.items() if not limit_s)
    longest_s, name = max((float(limit_s or 0), name) for name, limit_s in limits.items())
    workers = []
    if conf.worker_soft_shutdown_timeout:
        workers.append(f"{conf.worker_soft_shutdown_timeout:g} s (worker_soft_shutdown_timeout)")
    else:
        if longest_s:
            workers.append(f"{longest_s:g} s (time limit of {name})")
        if endless:
            workers.append(f"the longest job of {endless} (without a time limit)")
    return ok(
        "time to stop",
        f"from SIGTERM to SIGKILL: poller {poller_s:g} s (with less, a task may be lost); workers "
        f"longer than {' and '.join(workers)}",
    )
