"""A plan as JSON and as tables."""

from __future__ import annotations

import pytest

from tests.unit.capacity.helpers import LARGE, SMALL, plan_as_json, run


class TestJson:
    def test_json_has_these_keys(self):
        found = plan_as_json(*SMALL)
        assert found.keys() == {"load", "needs", "limits", "first", "warnings", "costs"}
        assert found["needs"]["in_flight"] == pytest.approx(301)
        assert found["limits"][0].keys() == {
            "name",
            "used",
            "limit",
            "utilisation",
            "growth",
            "exceeded",
        }
        assert found["first"]["name"] == found["limits"][0]["name"]
        assert found["warnings"] == []

    def test_nearest_limit_first_and_sizes_last(self):
        growths = [each["growth"] for each in plan_as_json(*SMALL)["limits"]]
        known = [growth for growth in growths if growth is not None]
        assert known == sorted(known)
        assert growths == known + [None] * (len(growths) - len(known))

    def test_every_exceeded_limit_but_the_first_is_a_warning(self):
        found = plan_as_json(*LARGE, "--region", "eu-central-1")
        exceeded = {each["name"] for each in found["limits"] if each["exceeded"]}
        assert exceeded == {
            "StartExecution",
            "GetActivityTask",
            "SendTaskSuccess",
            "SendTaskHeartbeat",
        }
        assert len(found["warnings"]) == len(exceeded) - 1


class TestTable:
    def test_tables_show_needs_limits_and_the_first_limit(self):
        shown = run(*SMALL).stdout
        for part in ("claims in flight", "pollers", "Redis memory", "SendTaskHeartbeat"):
            assert part in shown
        assert "→ StartExecution is the first limit, at 30 × this rate: 300 tasks/s" in shown

    def test_warns_when_a_backlog_would_exceed_the_heartbeat_quota(self):
        """On average within it: a backlog would not be."""
        result = run("--rate", "14", "--duration", "600", "--activities", "1")
        assert result.exit_code == 0
        assert "With every slot taken" in result.stdout
