"""Messages of other programs: a worker with the bridge does with each what one without it does.

Some hundred of them; tests/guests has 20,000.
"""

from __future__ import annotations

import pytest

from tests.foreign.fuzz import compare

pytestmark = pytest.mark.acceptance


def test_the_same_becomes_of_each_message(tmp_path):
    compare(tmp_path, seed=12, count=600, jobs=160)
