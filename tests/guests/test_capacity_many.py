"""Fifty activities and a worker with two slots: see docs/ledger.md."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity_fleet import FleetSize

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(180)]

FLEET = FleetSize(activities=50, slots=2, hold_s=20)


def test_each_execution_begins_at_once(capacity_fleet):
    """One execution of each activity, in random order, twice."""
    rules.each_begins_at_once(capacity_fleet.deployment, rounds=2, within_s=2)


def test_a_burst_is_bounded_and_fair(capacity_fleet):
    """Two executions of each activity at the same moment: 125 s of work for each slot."""
    rules.a_burst_is_bounded_and_fair(
        capacity_fleet.deployment, slots=FLEET.slots, each=2, seconds=2.5
    )
