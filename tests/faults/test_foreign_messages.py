"""A worker with the bridge treats other programs' messages as one without the bridge does.

This file sends some hundred messages; tests/guests/test_foreign_messages.py sends 20,000.
"""

from __future__ import annotations

import pytest

from tests.foreign.comparison import compare

pytestmark = pytest.mark.acceptance


def test_each_message_is_treated_as_without_the_bridge(tmp_path):
    compare(tmp_path, seed=12, count=600, jobs=160)
