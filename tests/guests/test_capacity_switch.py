"""Eight slots: what is fetched ahead of long jobs, of short ones, and at a switch between them."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity_fleet import FleetSize

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(120)]

FLEET = FleetSize(activities=3, slots=8)


def test_few_wait_behind_long_jobs(capacity_fleet):
    rules.few_wait_behind_long_jobs(
        capacity_fleet.deployment, slots=FLEET.slots, jobs=100, seconds=5
    )


def test_a_switch_to_long_jobs_is_bounded(capacity_fleet):
    rules.a_switch_to_long_jobs_is_bounded(
        capacity_fleet.deployment, capacity_fleet.poller, slots=FLEET.slots, seconds=10
    )
