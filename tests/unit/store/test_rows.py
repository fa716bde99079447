"""How rows are read from the flat lists of scripts."""

from __future__ import annotations

import pytest

from bridge.store.records import EndedClaim
from bridge.store.rows import EndedRow, JobRow, rows_of


def test_a_flat_list_is_read_row_by_row():
    assert rows_of(JobRow, ["c1", "1", "c2", "3"]) == [JobRow("c1", "1"), JobRow("c2", "3")]
    assert rows_of(JobRow, []) == []


def test_an_incomplete_row_is_an_error():
    """A script and its reader of another version would disagree in silence."""
    with pytest.raises(ValueError, match="shorter"):
        rows_of(JobRow, ["c1", "1", "c2"])


def test_a_time_of_minus_one_is_not_known():
    row = EndedRow("resize", "", "Boom", waited_ms=-1, ran_ms=0, unreported_ms=1500)
    assert row.record() == EndedClaim("resize", "", "Boom", None, 0.0, 1.5)
