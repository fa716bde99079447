"""What the capacity ledger promises, a function for each case; tests choose the sizes.

Each begins and ends with a fleet that is idle.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

from tests.acceptance.capacity import SOON_S, Crowd, Execution, Sample, room_of
from tests.acceptance.deployment import Process
from tests.waiting import wait_until


def each_begins_at_once(crowd: Crowd, *, rounds: int, within_s: float = SOON_S) -> None:
    """However few the slots: an execution of any activity begins while the fleet is idle."""
    crowd.prepare(*crowd.kinds)
    crowd.all_polled()
    started: list[Execution] = []
    for _ in range(rounds):
        for kind in random.sample(crowd.kinds, len(crowd.kinds)):
            started.append(crowd.begin(kind, 0))
            crowd.all_begin(started[-1:])
    runs = crowd.began(started)
    waits = sorted(execution.waited_s(runs) for execution in started)
    assert waits[-1] < within_s, waits
    assert waits[len(waits) // 2] < 1, waits
    crowd.all_gone()


def a_burst_is_bounded_and_fair(crowd: Crowd, *, slots: int, each: int, seconds: float) -> None:
    """Work on all activities at the same moment: idle polls take one each, the rest waits."""
    crowd.forget_durations()
    crowd.prepare(*crowd.kinds)
    crowd.all_polled()
    with crowd.watched() as watch:
        started = [crowd.begin(kind, seconds) for _ in range(each) for kind in crowd.kinds]
        ended = crowd.ends(started, timeout_s=60 + 2 * len(started) * seconds / slots)
    assert ended == {"SUCCEEDED": len(started)}
    assert watch.most_claimed <= room_of(slots) + len(crowd.kinds)
    kind_of = {execution.id: execution.kind for execution in started}
    order = [kind_of[run.id] for run in crowd.runs() if run.id in kind_of]
    assert len(order) == len(started)
    times = Counter(dict.fromkeys(crowd.kinds, 0))
    for kind in order:
        times[kind] += 1
        # No activity has had its third turn while another has not had its first.
        assert max(times.values()) - min(times.values()) <= 2, order
    crowd.all_gone()


def nothing_is_polled_without_room(crowd: Crowd, *, slots: int, seconds: float) -> None:
    """Slots and waiting room are taken: an open idle poll brings one claim, then none is opened.

    Args:
        seconds: For so long it is watched.
    """
    first, *others = crowd.kinds
    half, room, until = len(others) // 2, room_of(slots), crowd.until()
    crowd.forget_durations()
    crowd.prepare(*crowd.kinds)
    crowd.all_polled()
    filling = [crowd.begin(first, 0, until=until) for _ in range(room)]
    wait_until(
        lambda: crowd.look().runs == slots and crowd.look().claimed == room,
        what=f"{slots} run and {room - slots} wait: {crowd.look()}",
    )
    with crowd.watched() as watch:
        early = [crowd.begin(kind, 0) for kind in others[:half] for _ in range(2)]
        crowd.none_polled()
        time.sleep(0.5)  # an answer is stored
        before, polled = crowd.look(), []
        late = [crowd.begin(kind, 0) for kind in others[half:]]
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            polled.extend(crowd.polls())
            time.sleep(0.02)
        after = crowd.look()
        released_at = crowd.release(until)
        everything = [*filling, *early, *late]
        assert crowd.ends(everything) == {"SUCCEEDED": len(everything)}
    assert polled == []
    assert after.waiting == before.waiting
    assert all(count == 1 for kind, count in after.waiting.items() if kind != first), after
    assert max(sample.claimed for sample in watch.until(released_at)) <= room + half
    crowd.all_gone()


def ordinary_tasks_occupy_slots(crowd: Crowd, *, slots: int, timeout_s: int) -> None:
    """Executions that would time out behind the app's own tasks stay in Step Functions."""
    kind, until = crowd.kinds[-1], crowd.until()
    crowd.forget_durations()
    crowd.prepare(kind, timeout_s=timeout_s)
    crowd.all_polled()
    crowd.occupy(slots, until)
    with crowd.watched() as watch:
        started = [crowd.begin(kind, 0, timeout_s=timeout_s) for _ in range(4)]
        time.sleep(timeout_s + 1)
        released_at = crowd.release(until)
        ended = crowd.ends(started)
    assert max(sample.total for sample in watch.until(released_at)) - watch.samples[0].total <= 1
    assert ended["SUCCEEDED"] >= 3, ended
    crowd.all_gone()


def unwanted_jobs_occupy_slots(crowd: Crowd, *, slots: int, seconds: float) -> None:
    """Jobs that run on though their executions were stopped: nothing is claimed behind them.

    Args:
        seconds: For so long it is watched.
    """
    kinds, until = crowd.kinds[:4], crowd.until()
    crowd.forget_durations()
    crowd.prepare(*kinds)
    crowd.all_polled()
    unwanted = [crowd.begin("stubborn", 0, until=until) for _ in range(slots)]
    crowd.all_begin(unwanted)
    for execution in unwanted:
        crowd.sfn.stop_execution(executionArn=execution.arn)
    crowd.all_gone()  # a heartbeat was refused
    crowd.announced(unwanted=slots)
    with crowd.watched() as watch:
        started = [crowd.begin(kind, 0) for kind in kinds for _ in range(2)]
        time.sleep(seconds)
        released_at = crowd.release(until)
        assert crowd.ends(started) == {"SUCCEEDED": len(started)}
    for sample in watch.until(released_at):
        assert all(waiting <= 1 for waiting in sample.waiting.values()), sample
    crowd.all_gone()


def countdowns_take_no_room(crowd: Crowd, *, slots: int, claims: int) -> None:
    """Claims that wait for a retry's time leave the slots to other work."""
    crowd.prepare(*crowd.kinds, "later")
    before_s = _span_s(crowd, slots)
    later = [crowd.begin("later", 0, countdown=600) for _ in range(claims)]
    crowd.all_begin(later, timeout_s=30)
    wait_until(lambda: not crowd.look().runs, what=f"all wait for their retry: {crowd.look()}")
    assert crowd.in_flight() == claims
    after_s = _span_s(crowd, slots)
    for execution in later:
        crowd.sfn.stop_execution(executionArn=execution.arn)
    assert after_s < 1.3 * before_s + 0.7, (before_s, after_s)
    crowd.all_gone()


def _span_s(crowd: Crowd, slots: int) -> float:
    """How long jobs of 0.3 s take, six for each slot, from the first one's beginning."""
    started = [crowd.begin(kind, 0.3) for _ in range(6) for kind in crowd.kinds[:slots]]
    assert crowd.ends(started) == {"SUCCEEDED": len(started)}
    began = [float(run.began) for run in crowd.began(started).values()]
    return max(began) - min(began)


def few_wait_behind_long_jobs(
    crowd: Crowd, *, slots: int, jobs: int, seconds: float, timeout_s: int = 900
) -> None:
    """Jobs of one activity: what waits beyond the slots is the least look-ahead, all the time."""
    kind = crowd.kinds[0]
    crowd.forget_durations()
    crowd.prepare(kind, timeout_s=timeout_s)
    with crowd.watched() as watch:
        started = [crowd.begin(kind, seconds, timeout_s=timeout_s) for _ in range(jobs)]
        ended = crowd.ends(started, timeout_s=60 + 2 * jobs * seconds / slots)
    assert ended == {"SUCCEEDED": jobs}
    assert watch.most_claimed <= room_of(slots)
    most_running = max(sample.runs for sample in watch.samples)
    assert most_running == slots
    crowd.all_gone()


def a_switch_to_long_jobs_is_bounded(
    crowd: Crowd, poller: Process, *, slots: int, seconds: float
) -> None:
    """Jobs of 0.1 s are fetched ahead, never more than four a slot; not behind a long one.

    Jobs of a few milliseconds would end faster than the local Step Functions starts them.
    """
    kind, room = crowd.kinds[1], room_of(slots)
    crowd.prepare(kind)
    crowd.all_polled()
    with crowd.watched() as watch:
        with crowd.nothing_claimed(poller):
            short = [crowd.begin(kind, 0.1) for _ in range(10 * slots)]
            long = [crowd.begin(kind, seconds) for _ in range(3 * slots)]
            again = [crowd.begin(kind, 0.1) for _ in range(20 + 10 * slots)]
        everything = [*short, *long, *again]
        ended = crowd.ends(everything, timeout_s=60 + 8 * seconds)
    assert ended == {"SUCCEEDED": len(everything)}
    runs = crowd.began(everything)

    def times(executions: list[Execution]) -> list[float]:
        return sorted(float(runs[execution.id].began) for execution in executions)

    long_runs = times(long)
    switched_at, ended_at = long_runs[0], long_runs[-1] + seconds
    assert watch.most_claimed <= 5 * slots
    most_before = max(sample.claimed for sample in watch.until(switched_at))
    assert most_before > room
    # It counts as long when it has run for 0.25 s; then what was asked for before is answered.
    settled_at = switched_at + 0.25 + 0.5
    during = [sample for sample in watch.samples if settled_at < sample.at < ended_at]
    assert during, "the jobs are too short for this test"
    assert [_grew_over(room, *each) for each in pairwise(during) if _grew_over(room, *each)] == []
    back_at = [at for at in times(again) if at > ended_at][20 + slots]
    most_after = max(sample.claimed for sample in watch.samples if sample.at > back_at)
    assert most_after > room
    crowd.all_gone()


def _grew_over(room: int, before: Sample, after: Sample) -> str:
    """What was claimed between two samples though there was no room; empty: nothing."""
    if after.total > before.total and after.claimed > room:
        return f"{before} → {after}"
    return ""


def consumers_are_followed(crowd: Crowd, worker: Process) -> None:
    """``cancel_consumer`` ends the polls of the queue, ``add_consumer`` brings them back."""
    name = crowd.name_of(worker)
    crowd.all_polled()
    crowd.app.control.cancel_consumer("celery", destination=[name])
    crowd.none_polled()
    before = crowd.look().total
    started = [crowd.begin(kind, 0) for kind in crowd.kinds[:3]]
    time.sleep(2)
    assert crowd.look().total == before
    assert crowd.polls() == {}
    crowd.app.control.add_consumer("celery", destination=[name])
    crowd.all_begin(started)
    crowd.all_gone()


def pools_are_followed(crowd: Crowd, worker: Process, *, slots: int, seconds: float) -> None:
    """``pool_grow`` is filled, ``pool_shrink`` is not filled beyond what is left."""
    name = [crowd.name_of(worker)]
    crowd.app.control.pool_grow(slots, destination=name)
    crowd.announced(slots=2 * slots)
    crowd.has_processes(worker, 2 * slots)
    few_wait_behind_long_jobs(crowd, slots=2 * slots, jobs=4 * slots, seconds=seconds)
    crowd.app.control.pool_shrink(2 * slots - 1, destination=name)
    crowd.announced(slots=1)
    few_wait_behind_long_jobs(crowd, slots=1, jobs=4, seconds=seconds)
    crowd.app.control.pool_grow(slots - 1, destination=name)
    crowd.announced(slots=slots, queues=("celery",))
    crowd.all_gone()


def a_draining_worker_takes_no_room(
    crowd: Crowd,
    old: Process,
    start: Callable[[], Process],
    *,
    slots: int,
    waiting: int,
    fill_s: float = SOON_S,
) -> Process:
    """A rolling deployment: what drains on the old worker does not keep the new one's slots idle.

    Returns:
        The last of the workers that were started.
    """
    crowd.forget_durations()
    crowd.prepare(*crowd.kinds)
    old.signal(signal.SIGTERM)
    assert old.wait() == 0, old.output
    crowd.none_polled()

    def fill_with(executions: list[Execution], running: int) -> tuple[Process, float]:
        worker = start()
        ready = time.monotonic()
        wait_until(
            lambda: crowd.look().runs >= running,
            timeout_s=fill_s,
            what=f"{running} jobs run: {crowd.look()}",
        )
        return worker, time.monotonic() - ready

    until = crowd.until()
    long = [crowd.begin(crowd.kinds[0], 0, until=until) for _ in range(slots)]
    draining, alone_s = fill_with(long, slots)
    draining.signal(signal.SIGTERM)
    many = [crowd.begin(crowd.kinds[n % len(crowd.kinds)], 1.0) for n in range(waiting)]
    new, beside_s = fill_with(many, 2 * slots)
    assert draining.alive
    crowd.release(until)
    assert beside_s < alone_s + 2, (alone_s, beside_s)
    with crowd.watched() as watch:
        assert crowd.ends(many + long, timeout_s=120) == {"SUCCEEDED": waiting + slots}
    assert draining.wait() == 0, draining.output
    assert watch.most_claimed <= slots + room_of(slots) + len(crowd.kinds)
    crowd.all_gone()
    return new


def another_poller_takes_over(crowd: Crowd, first: Process, *, lease_s: float) -> Process:
    """Two pollers open one idle poll an activity between them; each takes over what the other had.

    Returns:
        The poller that is left.
    """
    crowd.prepare(*crowd.kinds)
    crowd.all_polled()
    second = crowd.poller()
    names = {name for pollers in crowd.polls().values() for name in pollers}
    assert len(names) == 1
    _all_polled_once(crowd)
    killed_at = time.monotonic()
    first.kill()
    wait_until(
        lambda: all(set(crowd.polls().get(kind, ())) - names for kind in crowd.kinds),
        what=f"the other poller polls: {crowd.polls()}",
    )
    # Its lease, and the second until the other asks again.
    assert time.monotonic() - killed_at < lease_s + 1 + SOON_S
    # A poll that the killed one left open at Step Functions would swallow a task.
    wait_until(lambda: not any(set(found) & names for found in crowd.polls().values()))
    started = [crowd.begin(kind, 0) for kind in crowd.kinds]
    crowd.all_begin(started)
    crowd.all_gone()
    third = crowd.poller()
    crowd.all_polled()
    second.signal(signal.SIGTERM)
    started = [crowd.begin(kind, 0) for kind in crowd.kinds for _ in range(2)]
    crowd.all_begin(started)
    assert second.wait() == 0, second.output
    crowd.all_polled(timeout_s=SOON_S)
    assert "Traceback" not in second.output
    return third


def _all_polled_once(crowd: Crowd) -> None:
    """An idle poll is open on each activity, and no second one."""
    crowd.all_polled()
    wait_until(
        lambda: (
            {kind: len(found) for kind, found in crowd.polls().items()}
            == dict.fromkeys([*crowd.kinds, "later", "stubborn"], 1)
        ),
        what=f"each activity is polled once: {crowd.polls()}",
    )
