"""What a load needs, and which limit it reaches first."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import bridge
from bridge.capacity import quotas
from bridge.capacity.limits import ROUND_TRIP_S
from bridge.capacity.plan import IDLE_AFTER_S, REMEMBERED_S, plan
from bridge.loops import open_polls
from tests.unit.capacity.helpers import COSTS, LOAD, limit, made


class TestInFlight:
    def test_in_flight_follows_littles_law(self):
        """Rate × time, with the way to Step Functions in it."""
        assert made(rate=10, duration_s=60).in_flight == pytest.approx(10 * (60 + ROUND_TRIP_S))

    def test_slots_leave_a_fifth_for_a_rush(self):
        assert made(rate=10, duration_s=60).slots == 750
        assert made(rate=10, duration_s=60, concurrency=16).workers == 47

    def test_a_backlog_fills_slots_and_waiting_room(self):
        """And one claim of each activity beyond it, which an idle poll may bring."""
        found = made(rate=10, duration_s=60, look_ahead=2.0, heartbeat_s=30, activities=3)
        assert found.waiting_most == found.slots
        assert found.in_flight_most == 2 * found.slots + 3
        assert found.heartbeats_most == found.in_flight_most / 30

    def test_fresh_polls_have_room_too(self):
        """40 activities, a task of each every 5 s and a fresh poll after it for half a second.

        8 tasks run, 0.8 are on their way, 4 polls are fresh.
        """
        assert made(rate=8, duration_s=1, activities=40, look_ahead=1.0).slots == 13

    def test_a_poll_is_fresh_for_as_long_as_the_poller_says(self):
        assert IDLE_AFTER_S == open_polls.IDLE_AFTER_S

    def test_idle_polls_take_no_slot(self):
        assert made(rate=0.01, duration_s=0.1, activities=30).slots == 1
        assert made(rate=0.01, duration_s=0.1, activities=30).open_polls == 30


class TestProcesses:
    def test_a_poller_uses_only_a_part_of_one_core(self):
        """2 ms a task: 350 tasks/s are 0.7 of a core."""
        assert [made(rate=rate).pollers for rate in (1, 349, 351, 701)] == [1, 1, 2, 3]

    def test_more_pollers_when_one_may_not_open_enough_polls(self):
        """An activity needs rate × round trip of them."""
        assert made(rate=100, max_polls_per_activity=2).pollers == 5

    def test_beat_processes_grow_with_heartbeats(self):
        """0.25 ms each: 2,800 a second are 0.7 of a core."""
        assert made(rate=2_000, duration_s=20).beats == 1
        assert made(rate=3_000, duration_s=20).beats == 2


class TestStore:
    def test_memory_is_for_claims_messages_and_closed_claims(self):
        found = made(rate=10, duration_s=60, input_bytes=300, output_bytes=0)
        claim, message = 600 + 600 + 300, 1_000 + 400  # base64 makes 400 of 300
        expected = found.in_flight * (claim + message) + 10 * REMEMBERED_S * 200
        assert found.store_bytes == pytest.approx(expected)

    def test_cpu_is_for_tasks_and_heartbeats(self):
        found = made(rate=100, duration_s=19.9, heartbeat_s=20)
        assert found.store_cores == pytest.approx((100 * 0.5 + 100 * 0.025) / 1000)

    def test_a_closed_claim_is_remembered_for_as_long_as_the_script_says(self):
        script = Path(bridge.__file__).parent / "store" / "lua" / "close.lua"
        (seconds,) = re.findall(r"finished_s = \d+, (\d+)", script.read_text("utf-8"))
        assert float(seconds) == REMEMBERED_S


FIRSTS = {
    "GetActivityTask": {"duration_s": 1, "tasks_per_execution": 100, "failing": 0.5},
    "SendTaskHeartbeat": {"duration_s": 600},
    "SendTaskSuccess": {
        "duration_s": 1,
        "tasks_per_execution": 100,
        "rates": {"GetActivityTask": 9_000},
    },
    "SendTaskFailure": {
        "duration_s": 1,
        "tasks_per_execution": 100,
        "failing": 1.0,
        "rates": {"GetActivityTask": 9_000},
    },
    "StartExecution": {"duration_s": 1},
    "StateTransition": {
        "duration_s": 1,
        "rates": {"StartExecution": 9_000},
        "region": "eu-central-1",
        "tasks_per_execution": 0.1,
    },
    "open executions": {"duration_s": 9e5, "heartbeat_s": 8e5},
    "CPU of one Redis": {"duration_s": 1, "rates": dict.fromkeys(quotas.OPERATIONS, 1e9)},
    "open polls of an activity": {"duration_s": 1, "rates": dict.fromkeys(quotas.OPERATIONS, 1e9)},
}


class TestFirst:
    @pytest.mark.parametrize("name", FIRSTS)
    def test_each_limit_can_be_the_first(self, name):
        free = {"valkey_task_ms": 0.0, "valkey_heartbeat_ms": 0.0}
        costs = COSTS if "Redis" in name else replace(COSTS, **free)
        assert plan(replace(LOAD, **FIRSTS[name]), costs).first.name == name

    @pytest.mark.parametrize("name", FIRSTS)
    def test_the_load_fits_until_the_first_limit_is_reached_and_no_further(self, name):
        """The factor is true: nothing is exceeded below it, and this limit is above it."""
        costs = (
            COSTS
            if "Redis" in name
            else replace(COSTS, valkey_task_ms=0.0, valkey_heartbeat_ms=0.0, poller_task_ms=0.0)
        )
        load = replace(LOAD, **FIRSTS[name])
        growth = plan(load, costs).growth
        below = plan(replace(load, rate=load.rate * growth * 0.99), costs)
        above = plan(replace(load, rate=load.rate * growth * 1.01), costs)
        assert [each.name for each in below.exceeded] == []
        assert name in [each.name for each in above.exceeded]

    def test_a_size_is_exceeded_at_any_rate(self):
        for what, most in {"input": 1_048_576, "output": 262_144}.items():
            found = limit(f"bytes of an {what}", **{f"{what}_bytes": most + 1})
            assert (found.exceeded, found.growth) == (True, None)
            assert not limit(f"bytes of an {what}", **{f"{what}_bytes": most}).exceeded

    def test_the_remedy_of_heartbeats_suffices(self):
        changes = {"rate": 100, "duration_s": 3_600}
        found = limit("SendTaskHeartbeat", **changes)
        assert found.exceeded
        (interval_s,) = re.findall(r"heartbeat=(\d+)", found.remedy)
        assert not limit("SendTaskHeartbeat", **changes, heartbeat_s=float(interval_s)).exceeded


@pytest.mark.parametrize(
    "grown",
    [
        {"rate": 20.0},
        {"duration_s": 120.0},
        {"heartbeat_s": 10.0},
        {"input_bytes": 9_999},
        {"activities": 500},
        {"region": "eu-central-1"},
    ],
)
def test_more_work_never_needs_less(grown):
    less, more = made(), made(**grown)
    needs = (
        "in_flight",
        "in_flight_most",
        "waiting_most",
        "slots",
        "workers",
        "open_polls",
        "pollers",
        "beats",
        "store_bytes",
        "store_cores",
    )
    assert all(getattr(more, need) >= getattr(less, need) for need in needs)
    uses = {each.name: each.utilisation for each in more.limits}
    assert all(
        uses[each.name] >= each.utilisation
        for each in less.limits
        if each.name != "open polls of an activity"
    )
    assert any(uses[each.name] > each.utilisation for each in less.limits)
