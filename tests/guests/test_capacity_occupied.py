"""What occupies slots for half a minute, and what waits meanwhile."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity_fleet import FleetSize

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(110)]

FLEET = FleetSize(activities=20, slots=4, hold_s=8)


def test_nothing_is_polled_without_room(capacity_fleet):
    rules.nothing_is_polled_without_room(capacity_fleet.deployment, slots=FLEET.slots, seconds=30)


def test_ordinary_tasks_occupy_slots(capacity_fleet):
    rules.ordinary_tasks_occupy_slots(capacity_fleet.deployment, slots=FLEET.slots, timeout_s=8)


def test_unwanted_jobs_occupy_slots(capacity_fleet):
    rules.unwanted_jobs_occupy_slots(capacity_fleet.deployment, slots=FLEET.slots, seconds=20)


def test_countdowns_take_no_room(capacity_fleet):
    rules.countdowns_take_no_room(capacity_fleet.deployment, slots=FLEET.slots, claims=50)
