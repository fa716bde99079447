"""Fifty activities and a worker with two slots: see docs/ledger.md."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity import Fleets, lend

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(180)]

SLOTS = 2


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    with Fleets(tmp_path_factory.mktemp("crowd"), activities=50, slots=SLOTS, hold_s=20) as made:
        yield made


@pytest.fixture
def fleet(fleets, request):
    yield from lend(fleets, request)


def test_each_begins_at_once(fleet):
    """One execution of each, in random order, twice."""
    rules.each_begins_at_once(fleet.crowd, rounds=2, within_s=2)


def test_a_burst_is_bounded_and_fair(fleet):
    """Two executions of each at the same moment: 125 s of work for each slot."""
    rules.a_burst_is_bounded_and_fair(fleet.crowd, slots=SLOTS, each=2, seconds=2.5)
