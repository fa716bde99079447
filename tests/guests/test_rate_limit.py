"""A task with ``rate_limit="6/m"`` beside another activity, on one worker, for five minutes."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(330), pytest.mark.timeout(600)]

MEASURED_S = 300.0


def test_it_uses_its_whole_rate_and_delays_no_other_activity(deploy):
    """A job that is published again would use a token of the rate limit for nothing."""
    made = deploy(
        BRIDGE_TASKS="jobs,occupying_tasks",
        JOBS_ONLY="echo",
        JOBS_RATE="6/m",
        BRIDGE_LEASE_S="15",
        BRIDGE_TICK_S="1",
        BRIDGE_LOOK_AHEAD="1.25",
    )
    made.create_activities()
    made.worker(concurrency=4)
    beat = made.beat()
    made.poller()
    machine = made.one_state("limited", TimeoutSeconds=900, HeartbeatSeconds=60)
    for number in range(40):
        made.execute(machine, id=number)
    first = float(wait_until(lambda: made.seen("limited"))[0].began)
    other, waited_s = made.one_state("echo"), []
    for number in itertools.count():
        if time.time() > first + MEASURED_S:
            break
        began = time.time()
        assert made.ended(made.execute(other, id=number), timeout_s=30)["status"] == "SUCCEEDED"
        waited_s.append(float(made.seen("echo")[-1].began) - began)
        time.sleep(max(0.0, began + 1 - time.time()))
    runs = [float(run.began) for run in made.seen("limited")]
    done = sum(began <= first + MEASURED_S for began in runs)
    assert 29 <= done <= 31, [round(later - one, 1) for one, later in itertools.pairwise(runs)]
    assert "is published anew" not in beat.output
    assert len(waited_s) > MEASURED_S / 2
    assert sorted(waited_s)[len(waited_s) * 9 // 10] < 2, sorted(waited_s)[-20:]
