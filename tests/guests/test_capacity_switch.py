"""Eight slots: what is fetched ahead of long jobs, of short ones, and at a switch between them."""

from __future__ import annotations

import pytest

from tests.acceptance import capacity_rules as rules
from tests.acceptance.capacity import Fleets, lend

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(120)]

SLOTS = 8


@pytest.fixture(scope="module")
def fleets(tmp_path_factory):
    with Fleets(tmp_path_factory.mktemp("crowd"), activities=3, slots=SLOTS) as made:
        yield made


@pytest.fixture
def fleet(fleets, request):
    yield from lend(fleets, request)


def test_few_wait_behind_long_jobs(fleet):
    rules.few_wait_behind_long_jobs(fleet.crowd, slots=SLOTS, jobs=100, seconds=5)


def test_a_switch_is_bounded(fleet):
    rules.a_switch_to_long_jobs_is_bounded(fleet.crowd, fleet.poller, slots=SLOTS, seconds=10)
