"""What occupies slots for half a minute, and what waits behind it."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity import Fleets, lend

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(110)]

SLOTS = 4


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    with Fleets(tmp_path_factory.mktemp("crowd"), activities=20, slots=SLOTS, hold_s=8) as made:
        yield made


@pytest.fixture
def fleet(fleets, request):
    yield from lend(fleets, request)


def test_nothing_is_polled_without_room(fleet):
    rules.nothing_is_polled_without_room(fleet.crowd, slots=SLOTS, seconds=30)


def test_ordinary_tasks_occupy_slots(fleet):
    rules.ordinary_tasks_occupy_slots(fleet.crowd, slots=SLOTS, timeout_s=8)


def test_unwanted_jobs_occupy_slots(fleet):
    rules.unwanted_jobs_occupy_slots(fleet.crowd, slots=SLOTS, seconds=20)


def test_countdowns_take_no_room(fleet):
    rules.countdowns_take_no_room(fleet.crowd, slots=SLOTS, claims=50)
