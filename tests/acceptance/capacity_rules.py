"""The rules of the capacity ledger, a function for each; tests choose the sizes.

Each function begins and ends with an idle fleet.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from tests.acceptance.capacity_deployment import (
    SOON_S,
    CapacityDeployment,
    Execution,
    Sample,
    room_of,
)
from tests.acceptance.deployment import Process
from tests.waiting import wait_until


def each_begins_at_once(
    deployment: CapacityDeployment, *, rounds: int, within_s: float = SOON_S
) -> None:
    """While the fleet is idle, an execution of any activity begins at once, even with one slot."""
    deployment.prepare(*deployment.kinds)
    deployment.all_polled()
    started: list[Execution] = []
    for _ in range(rounds):
        for kind in random.sample(deployment.kinds, len(deployment.kinds)):
            started.append(deployment.begin(kind, 0))
            deployment.all_begin(started[-1:])
    runs = deployment.began(started)
    waits = sorted(execution.waited_s(runs) for execution in started)
    assert waits[-1] < within_s, waits
    assert waits[len(waits) // 2] < 1, waits
    deployment.all_gone()


def a_burst_is_bounded_and_fair(
    deployment: CapacityDeployment, *, slots: int, each: int, seconds: float
) -> None:
    """Executions of all activities start together: each idle poll takes one, the others wait."""
    deployment.forget_durations()
    deployment.prepare(*deployment.kinds)
    deployment.all_polled()
    with deployment.watched() as watch:
        started = [
            deployment.begin(kind, seconds) for _ in range(each) for kind in deployment.kinds
        ]
        ended = deployment.ends(started, timeout_s=60 + 2 * len(started) * seconds / slots)
    assert ended == {"SUCCEEDED": len(started)}
    assert watch.most_claimed <= room_of(slots) + len(deployment.kinds)
    kind_of = {execution.id: execution.kind for execution in started}
    order = [kind_of[run.id] for run in deployment.runs() if run.id in kind_of]
    assert len(order) == len(started)
    times = Counter(dict.fromkeys(deployment.kinds, 0))
    for kind in order:
        times[kind] += 1
        # No activity has had its third turn while another has not had its first.
        assert max(times.values()) - min(times.values()) <= 2, order
    deployment.all_gone()


def nothing_is_polled_without_room(
    deployment: CapacityDeployment, *, slots: int, seconds: float
) -> None:
    """Once slots and waiting room are full, an open idle poll brings one claim; no poll is opened.

    Args:
        seconds: How long the polls are watched.
    """
    first, *others = deployment.kinds
    half, room, until = len(others) // 2, room_of(slots), deployment.until()
    deployment.forget_durations()
    deployment.prepare(*deployment.kinds)
    deployment.all_polled()
    filling = [deployment.begin(first, 0, until=until) for _ in range(room)]
    wait_until(
        lambda: deployment.look().runs == slots and deployment.look().claimed == room,
        what=f"{slots} run and {room - slots} wait: {deployment.look()}",
    )
    with deployment.watched() as watch:
        early = [deployment.begin(kind, 0) for kind in others[:half] for _ in range(2)]
        deployment.none_polled()
        time.sleep(0.5)  # an answer is stored
        before, polled = deployment.look(), []
        late = [deployment.begin(kind, 0) for kind in others[half:]]
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            polled.extend(deployment.polls())
            time.sleep(0.02)
        after = deployment.look()
        released_at = deployment.release(until)
        everything = [*filling, *early, *late]
        assert deployment.ends(everything) == {"SUCCEEDED": len(everything)}
    assert polled == []
    assert after.waiting == before.waiting
    assert all(count == 1 for kind, count in after.waiting.items() if kind != first), after
    assert max(sample.claimed for sample in watch.until(released_at)) <= room + half
    deployment.all_gone()


def ordinary_tasks_occupy_slots(
    deployment: CapacityDeployment, *, slots: int, timeout_s: int
) -> None:
    """While ordinary tasks occupy the slots, executions wait in Step Functions, unclaimed."""
    kind, until = deployment.kinds[-1], deployment.until()
    deployment.forget_durations()
    deployment.prepare(kind, timeout_s=timeout_s)
    deployment.all_polled()
    deployment.occupy(slots, until)
    with deployment.watched() as watch:
        started = [deployment.begin(kind, 0, timeout_s=timeout_s) for _ in range(4)]
        time.sleep(timeout_s + 1)
        released_at = deployment.release(until)
        ended = deployment.ends(started)
    assert max(sample.total for sample in watch.until(released_at)) - watch.samples[0].total <= 1
    assert ended["SUCCEEDED"] >= 3, ended
    deployment.all_gone()


def unwanted_jobs_occupy_slots(
    deployment: CapacityDeployment, *, slots: int, seconds: float
) -> None:
    """Jobs that run on although their claims are closed: no other claim waits for their slots.

    Args:
        seconds: How long the polls are watched.
    """
    kinds, until = deployment.kinds[:4], deployment.until()
    deployment.forget_durations()
    deployment.prepare(*kinds)
    deployment.all_polled()
    unwanted = [deployment.begin("stubborn", 0, until=until) for _ in range(slots)]
    deployment.all_begin(unwanted)
    for execution in unwanted:
        deployment.sfn.stop_execution(executionArn=execution.arn)
    deployment.all_gone()  # a heartbeat was refused
    deployment.announced(unwanted=slots)
    with deployment.watched() as watch:
        started = [deployment.begin(kind, 0) for kind in kinds for _ in range(2)]
        time.sleep(seconds)
        released_at = deployment.release(until)
        assert deployment.ends(started) == {"SUCCEEDED": len(started)}
    for sample in watch.until(released_at):
        assert all(waiting <= 1 for waiting in sample.waiting.values()), sample
    deployment.all_gone()


def countdowns_take_no_room(deployment: CapacityDeployment, *, slots: int, claims: int) -> None:
    """Claims in the countdown of a retry take no slot and no waiting room."""
    deployment.prepare(*deployment.kinds, "later")
    before_s = _span_s(deployment, slots)
    later = [deployment.begin("later", 0, countdown=600) for _ in range(claims)]
    deployment.all_begin(later, timeout_s=30)
    wait_until(
        lambda: not deployment.look().runs, what=f"all wait for their retry: {deployment.look()}"
    )
    assert deployment.in_flight() == claims
    after_s = _span_s(deployment, slots)
    for execution in later:
        deployment.sfn.stop_execution(executionArn=execution.arn)
    assert after_s < 1.3 * before_s + 0.7, (before_s, after_s)
    deployment.all_gone()


def _span_s(deployment: CapacityDeployment, slots: int) -> float:
    """Seconds between the first and the last start of jobs of 0.3 s, six for each slot."""
    started = [deployment.begin(kind, 0.3) for _ in range(6) for kind in deployment.kinds[:slots]]
    assert deployment.ends(started) == {"SUCCEEDED": len(started)}
    began = [float(run.began) for run in deployment.began(started).values()]
    return max(began) - min(began)


def few_wait_behind_long_jobs(
    deployment: CapacityDeployment, *, slots: int, jobs: int, seconds: float, timeout_s: int = 900
) -> None:
    """While jobs of one activity are long, no more claims wait than BRIDGE_LOOK_AHEAD allows."""
    kind = deployment.kinds[0]
    deployment.forget_durations()
    deployment.prepare(kind, timeout_s=timeout_s)
    with deployment.watched() as watch:
        started = [deployment.begin(kind, seconds, timeout_s=timeout_s) for _ in range(jobs)]
        ended = deployment.ends(started, timeout_s=60 + 2 * jobs * seconds / slots)
    assert ended == {"SUCCEEDED": jobs}
    assert watch.most_claimed <= room_of(slots)
    most_running = max(sample.runs for sample in watch.samples)
    assert most_running == slots
    deployment.all_gone()


def a_switch_to_long_jobs_is_bounded(
    deployment: CapacityDeployment, poller: Process, *, slots: int, seconds: float
) -> None:
    """Jobs of 0.1 s are fetched ahead, at most four a slot, but not while long jobs run.

    Jobs of a few milliseconds would end faster than the local Step Functions starts them.
    """
    kind, room = deployment.kinds[1], room_of(slots)
    deployment.prepare(kind)
    deployment.all_polled()
    with deployment.watched() as watch:
        with deployment.nothing_claimed(poller):
            short = [deployment.begin(kind, 0.1) for _ in range(10 * slots)]
            long = [deployment.begin(kind, seconds) for _ in range(3 * slots)]
            again = [deployment.begin(kind, 0.1) for _ in range(20 + 10 * slots)]
        everything = [*short, *long, *again]
        ended = deployment.ends(everything, timeout_s=60 + 8 * seconds)
    assert ended == {"SUCCEEDED": len(everything)}
    runs = deployment.began(everything)

    def times(executions: list[Execution]) -> list[float]:
        return sorted(float(runs[execution.id].began) for execution in executions)

    long_runs = times(long)
    switched_at, ended_at = long_runs[0], long_runs[-1] + seconds
    assert watch.most_claimed <= 5 * slots
    most_before = max(sample.claimed for sample in watch.until(switched_at))
    assert most_before > room
    # It counts as long when it has run for 0.25 s; earlier polls return within another 0.5 s.
    settled_at = switched_at + 0.25 + 0.5
    during = [sample for sample in watch.samples if settled_at < sample.at < ended_at]
    assert during, "the jobs are too short for this test"
    assert [_grew_over(room, *each) for each in pairwise(during) if _grew_over(room, *each)] == []
    back_at = [at for at in times(again) if at > ended_at][20 + slots]
    most_after = max(sample.claimed for sample in watch.samples if sample.at > back_at)
    assert most_after > room
    deployment.all_gone()


def _grew_over(room: int, before: Sample, after: Sample) -> str:
    """Describes a claim made between two samples although there was no room; empty: none."""
    if after.total > before.total and after.claimed > room:
        return f"{before} → {after}"
    return ""


def consumers_are_followed(deployment: CapacityDeployment, worker: Process) -> None:
    """``cancel_consumer`` ends the polls for a queue; ``add_consumer`` starts them again."""
    name = deployment.name_of(worker)
    deployment.all_polled()
    deployment.app.control.cancel_consumer("celery", destination=[name])
    deployment.none_polled()
    before = deployment.look().total
    started = [deployment.begin(kind, 0) for kind in deployment.kinds[:3]]
    time.sleep(2)
    assert deployment.look().total == before
    assert deployment.polls() == {}
    deployment.app.control.add_consumer("celery", destination=[name])
    deployment.all_begin(started)
    deployment.all_gone()


def pools_are_followed(
    deployment: CapacityDeployment, worker: Process, *, slots: int, seconds: float
) -> None:
    """Claims fill the slots that ``pool_grow`` adds, but not those that ``pool_shrink`` takes."""
    name = [deployment.name_of(worker)]
    deployment.app.control.pool_grow(slots, destination=name)
    deployment.announced(slots=2 * slots)
    deployment.has_processes(worker, 2 * slots)
    few_wait_behind_long_jobs(deployment, slots=2 * slots, jobs=4 * slots, seconds=seconds)
    deployment.app.control.pool_shrink(2 * slots - 1, destination=name)
    deployment.announced(slots=1)
    few_wait_behind_long_jobs(deployment, slots=1, jobs=4, seconds=seconds)
    deployment.app.control.pool_grow(slots - 1, destination=name)
    deployment.announced(slots=slots, queues=("celery",))
    deployment.all_gone()


def a_draining_worker_takes_no_room(
    deployment: CapacityDeployment,
    old: Process,
    start: Callable[[], Process],
    *,
    slots: int,
    waiting: int,
    fill_s: float = SOON_S,
) -> Process:
    """Jobs that drain on an old worker do not keep a new worker's slots idle.

    Returns:
        The worker that was started last.
    """
    deployment.forget_durations()
    deployment.prepare(*deployment.kinds)
    old.signal(signal.SIGTERM)
    assert old.wait() == 0, old.output
    deployment.none_polled()

    def fill_with(executions: list[Execution], running: int) -> tuple[Process, float]:
        worker = start()
        ready = time.monotonic()
        wait_until(
            lambda: deployment.look().runs >= running,
            timeout_s=fill_s,
            what=f"{running} jobs run: {deployment.look()}",
        )
        return worker, time.monotonic() - ready

    until = deployment.until()
    long = [deployment.begin(deployment.kinds[0], 0, until=until) for _ in range(slots)]
    draining, alone_s = fill_with(long, slots)
    draining.signal(signal.SIGTERM)
    many = [
        deployment.begin(deployment.kinds[n % len(deployment.kinds)], 1.0) for n in range(waiting)
    ]
    new, beside_s = fill_with(many, 2 * slots)
    assert draining.alive
    deployment.release(until)
    assert beside_s < alone_s + 2, (alone_s, beside_s)
    with deployment.watched() as watch:
        assert deployment.ends(many + long, timeout_s=120) == {"SUCCEEDED": waiting + slots}
    assert draining.wait() == 0, draining.output
    assert watch.most_claimed <= slots + room_of(slots) + len(deployment.kinds)
    deployment.all_gone()
    return new


def another_poller_takes_over(
    deployment: CapacityDeployment, first: Process, *, lease_s: float
) -> Process:
    """Two pollers open one idle poll an activity between them; each takes over the other's polls.

    Returns:
        The poller that still runs.
    """
    deployment.prepare(*deployment.kinds)
    deployment.all_polled()
    second = deployment.poller()
    names = {name for pollers in deployment.polls().values() for name in pollers}
    assert len(names) == 1
    _all_polled_once(deployment)
    killed_at = time.monotonic()
    first.kill()
    wait_until(
        lambda: all(set(deployment.polls().get(kind, ())) - names for kind in deployment.kinds),
        what=f"the other poller polls: {deployment.polls()}",
    )
    # The lease of its polls, and the second until the other poller asks again.
    assert time.monotonic() - killed_at < lease_s + 1 + SOON_S
    # A poll that the killed one left open at Step Functions would swallow a task.
    wait_until(lambda: not any(set(found) & names for found in deployment.polls().values()))
    started = [deployment.begin(kind, 0) for kind in deployment.kinds]
    deployment.all_begin(started)
    deployment.all_gone()
    third = deployment.poller()
    deployment.all_polled()
    second.signal(signal.SIGTERM)
    started = [deployment.begin(kind, 0) for kind in deployment.kinds for _ in range(2)]
    deployment.all_begin(started)
    assert second.wait() == 0, second.output
    deployment.all_polled(timeout_s=SOON_S)
    assert "Traceback" not in second.output
    return third


def _all_polled_once(deployment: CapacityDeployment) -> None:
    """Wait until exactly one idle poll is open on each activity."""
    deployment.all_polled()
    wait_until(
        lambda: (
            {kind: len(found) for kind, found in deployment.polls().items()}
            == dict.fromkeys([*deployment.kinds, "later", "stubborn"], 1)
        ),
        what=f"each activity is polled once: {deployment.polls()}",
    )
