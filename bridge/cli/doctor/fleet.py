"""Checks of the processes: workers of each queue, pollers, beat, and claims of dead workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.app_state import Installation
from bridge.cli.doctor.result import CheckResult, failure, ok, warning
from bridge.errors import app_name
from bridge.registry import SYSTEM_QUEUE
from bridge.store import SlotUsage, Status, WorkerStatus


def check_fleet(bridge: Installation, status: Status) -> Iterator[CheckResult]:
    """Check which processes the claim store knows to be alive."""
    live = [worker for worker in status.workers if worker.live]
    for queue in bridge.registry.queues:
        names = [name for name, a in bridge.registry.items() if a.queue == queue]
        serving = [worker for worker in live if queue in worker.queues]
        yield _check_workers(queue, activities=names, serving=serving)
    yield _check_pollers(status)
    yield _check_heartbeats(status, live, tick_s=bridge.settings.tick_s)
    lost = sum(row.lost for row in status.activities)
    if lost:
        yield warning(
            "lost claims", f"{lost} on workers that died", "the beat process recovers them"
        )


def _check_workers(
    queue: str, *, activities: Sequence[str], serving: Sequence[WorkerStatus]
) -> CheckResult:
    """Whether a worker takes jobs from a queue. Occupied slots are normal, and no warning."""
    check = f"workers of queue {queue}"
    found, draining = SlotUsage.of(serving), sum(worker.draining for worker in serving)
    if found.slots:
        occupants = {
            "claims": found.claims,
            "ordinary tasks": found.ordinary,
            "jobs of closed claims": found.unwanted,
        }
        parts = [f"workers: {len(serving) - draining}, slots: {found.slots}"]
        parts += [f"{kind} occupy {count}" for kind, count in occupants.items() if count]
        parts.append(f"free: {found.free}")
        parts += [f"workers that drain: {draining}"] if draining else []
        return ok(check, ", ".join(parts))
    detail = "no live worker serves it"
    if draining:
        detail = f"workers that drain and take no new job: {draining}, others: none"
    return failure(
        check,
        f"{detail}; nothing of {', '.join(activities)} is claimed",
        f"celery -A {app_name()} worker -Q {queue}",
    )


def _check_pollers(status: Status) -> CheckResult:
    check = "pollers"
    if status.pollers:
        return ok(check, f"{len(status.pollers)} alive")
    return failure(check, "none is alive: nothing is claimed", f"celery -A {app_name()} poll")


def _check_heartbeats(
    status: Status, live: Sequence[WorkerStatus], *, tick_s: float
) -> CheckResult:
    """Whether heartbeat passes run, and whether a beat process runs them."""
    check = "heartbeats"
    start_beat = f"celery -A {app_name()} worker -B -Q {SYSTEM_QUEUE} --pool threads"
    age_s = status.passes.get("heartbeat")
    if age_s is None:
        return failure(check, "a heartbeat pass has never begun", start_beat)
    if age_s > max(10.0, 5 * tick_s):
        return failure(check, f"the last pass began {age_s:.0f} s ago", start_beat)
    if not any(SYSTEM_QUEUE in worker.queues for worker in live):
        return warning(check, "pollers send them: no beat process is alive", start_beat)
    return ok(check, f"the last pass began {age_s:.1f} s ago")
