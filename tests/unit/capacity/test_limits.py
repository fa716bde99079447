"""How much a load uses of each limit."""

from __future__ import annotations

import pytest

from bridge.capacity.limits import HOLD_S
from tests.unit.capacity.helpers import limit, made


class TestCalls:
    def test_a_task_is_a_poll_and_a_report(self):
        assert limit("GetActivityTask", rate=60).growing == 60
        assert limit("SendTaskSuccess", rate=60).used == 60

    def test_an_idle_activity_is_polled_once_a_minute_however_many_pollers_there_are(self):
        assert limit("GetActivityTask", rate=1, activities=30).fixed == 30 / HOLD_S
        two = {"rate": 400, "activities": 30}  # 0.8 of a core
        assert made(**two).pollers == 2
        assert limit("GetActivityTask", **two).fixed == 30 / HOLD_S

    def test_heartbeats_are_claims_in_flight_by_the_interval(self):
        assert limit("SendTaskHeartbeat", rate=10, duration_s=60, heartbeat_s=20).used == (
            pytest.approx(10 * 60.1 / 20)
        )

    def test_successes_and_failures_have_separate_quotas(self):
        assert limit("SendTaskSuccess", rate=10, failing=0.25).used == 7.5
        assert limit("SendTaskFailure", rate=10, failing=0.25).used == 2.5

    def test_starts_are_tasks_by_tasks_per_execution(self):
        assert limit("StartExecution", rate=100, tasks_per_execution=4).used == 25
        assert limit("StateTransition", rate=100, tasks_per_execution=4).used == 125

    def test_a_quota_of_the_account_replaces_the_default(self):
        assert limit("StartExecution", rates={"StartExecution": 42.0}).most == 42
