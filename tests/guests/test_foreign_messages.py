"""Messages of other programs: a worker with the bridge does with each what one without it does.

20,000 that Celery survives, fuzzed, between jobs of the bridge; and those that it does not survive.
``FOREIGN_SEED`` takes another seed.
"""

from __future__ import annotations

import os

import pytest

from tests.foreign.fuzz import compare, compare_priorities, what_becomes_of_fatal
from tests.foreign.messages import FATAL

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(240)]

SEED = int(os.environ.get("FOREIGN_SEED", "20261127"))


def test_the_same_becomes_of_each_of_20_000_messages(tmp_path):
    compare(tmp_path, seed=SEED, count=26_500, jobs=4_000, least=20_000, timeout_s=400)


def test_the_same_becomes_of_messages_of_all_priorities(tmp_path):
    compare_priorities(tmp_path, seed=SEED, count=1_000)


def test_a_message_that_ends_a_worker_of_celery_takes_no_other_with_it(tmp_path):
    """And one that does not end it ends none with the bridge."""
    plain = what_becomes_of_fatal(tmp_path, bridge=False)
    bridged = what_becomes_of_fatal(tmp_path, bridge=True)
    assert plain.count("ends") >= 10
    assert [
        fatal[:200]
        for fatal, one, other in zip(FATAL, plain, bridged, strict=True)
        if (one, other) == ("lives", "ends")
    ] == []
