"""Check one process by its role: poller, worker, beat or Flower."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bridge.healthcheck.celery_process import CeleryProcess, children_of, find_process
from bridge.healthcheck.verdict import Unhealthy, Unknown

if TYPE_CHECKING:
    from bridge.store.health import Signs

ANSWER_TIMEOUT_S = 2.0
STALE_S = 30.0
"""A heartbeat pass begins in every tick interval, but one that waits for Step Functions delays the
next."""


def check(role: str, pid: int) -> str:
    """Check the process.

    Args:
        role: One of ``ROLES``; empty to take what the process's command line says.
        pid: The process, or an init or a shell that has started it.

    Returns:
        What shows that the process is healthy.

    Raises:
        Unhealthy: A restart would help.
        Unknown: The check cannot tell.
    """
    process = find_process(pid)
    role = role or process.role
    if not role:
        raise Unknown("this is no poller, worker, beat or Flower")
    if role == "flower":
        from bridge.healthcheck.flower import check_flower

        return check_flower(process, timeout_s=ANSWER_TIMEOUT_S)
    # Each role imports only what its check needs.
    from bridge.errors import SchemaMismatch, SettingsError, StoreUnavailable
    from bridge.healthcheck.store_url import store_of
    from bridge.settings import load
    from bridge.store.health import read_signs

    try:
        settings = load(derive_store=lambda: store_of(process))
        signs = read_signs(settings, timeout_s=ANSWER_TIMEOUT_S)
    except (SchemaMismatch, StoreUnavailable) as exc:
        raise Unknown(str(exc)) from None
    except SettingsError as exc:
        raise Unhealthy(str(exc)) from None
    checks = {"poll": check_poll, "worker": check_worker, "beat": check_beat}
    return checks[role](process, signs)


def check_poll(process: CeleryProcess, signs: Signs) -> str:
    """Check the poller's lease, which it renews also while it drains."""
    name = f"{socket.gethostname()[:60]}-"  # see bridge.app_state.process_name
    if process.pid:
        name += f"{process.pid}-"
    return _check_lease("poller", signs.pollers, lambda poller: poller.startswith(name))


def check_worker(process: CeleryProcess, signs: Signs) -> str:
    """Check the worker's lease, which it renews until its last job has ended."""
    node = process.node_name
    return _check_lease("worker", signs.workers, lambda worker: worker.rpartition("#")[0] == node)


def check_beat(process: CeleryProcess, signs: Signs) -> str:
    """Check its worker's lease, its child process that publishes ticks, and that passes begin.

    The passes alone would prove nothing: a poller begins them, too, while no beat process does.
    """
    if process.args and "worker" not in process.args:
        raise Unknown("a beat without a worker renews no lease")
    lease = check_worker(process, signs)
    if process.pid and not children_of(process.pid):
        raise Unhealthy("the process that ticks has ended: this worker's beat schedules nothing")
    age_s = signs.passes.get("heartbeat")
    if age_s is None:
        raise Unhealthy("a heartbeat pass has never begun")
    if age_s > STALE_S:
        raise Unhealthy(f"the last heartbeat pass began {age_s:.0f} s ago")
    return f"{lease}, the last pass began {age_s:.1f} s ago"


def _check_lease(kind: str, leases: Mapping[str, float], ours: Callable[[str], bool]) -> str:
    left_s = max((left for name, left in leases.items() if ours(name)), default=None)
    if left_s is None:
        raise Unhealthy(f"this {kind} has no lease in the store")
    if left_s < 0:
        raise Unhealthy(f"this {kind}'s lease has ended {-left_s:.0f} s ago")
    return f"lease for {left_s:.1f} s"
