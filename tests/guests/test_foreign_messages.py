"""A worker with the bridge treats other programs' messages as one without the bridge does.

There are 20,000 fuzzed messages that Celery survives, between jobs of the bridge, and those that
it does not survive. ``FOREIGN_SEED`` sets another seed.
"""

from __future__ import annotations

import os

import pytest

from tests.foreign.comparison import compare, compare_priorities, send_fatal
from tests.foreign.messages import FATAL

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(240)]

SEED = int(os.environ.get("FOREIGN_SEED", "20261127"))


def test_each_of_20_000_messages_is_treated_as_without_the_bridge(tmp_path):
    compare(tmp_path, seed=SEED, count=26_500, jobs=4_000, least=20_000, timeout_s=400)


def test_messages_of_all_priorities_are_treated_as_without_the_bridge(tmp_path):
    compare_priorities(tmp_path, seed=SEED, count=1_000)


def test_a_message_that_ends_a_celery_worker_loses_no_other_message(tmp_path):
    """And a message that does not end a Celery worker does not end one with the bridge."""
    plain = send_fatal(tmp_path, bridge=False)
    bridged = send_fatal(tmp_path, bridge=True)
    assert plain.count("ends") >= 10
    assert [
        fatal[:200]
        for fatal, one, other in zip(FATAL, plain, bridged, strict=True)
        if (one, other) == ("runs", "ends")
    ] == []
