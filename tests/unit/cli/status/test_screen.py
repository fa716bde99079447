"""What ``status`` shows people: its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from bridge.cli.status.overview import Overview
from bridge.cli.status.screen import rendered
from tests.unit.cli.status.fleet import BEAT, DRAINS, LOST, ROW, WORKER, overview


def shown(overview: Overview, width: int = 120) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(rendered(overview, width))
    return [line.rstrip() for line in captured.get().splitlines()]


class TestTable:
    def test_what_is_rare_has_a_column_only_where_there_is_any(self):
        head = " ".join(shown(overview(WORKER))[:2])
        assert "count-" in head
        assert "held" in head
        assert "lost" not in head
        usual = replace(ROW, countdown=0, held_back=0)
        head = " ".join(shown(overview(WORKER, row=usual))[:2])
        assert "count-" not in head
        assert "held" not in head

    def test_a_worker_says_what_occupies_it_and_one_that_drains_says_so(self):
        lines = shown(overview(WORKER, DRAINS, LOST, BEAT))
        rows = {line.split()[0]: line.split()[1:] for line in lines if "celery@" in line}
        assert rows == {
            "celery@one": ["celery", "4", "2", "1", "1"],
            "celery@two": ["celery", "0", "3", "0", "0", "drains"],
            "celery@three": ["celery", "4", "1", "0", "0", "lost"],
        }
        assert "workers: 2, pollers: 1, beat processes: 1" in lines

    def test_two_starts_of_one_name_are_told_apart(self):
        lines = "\n".join(shown(overview(WORKER, replace(DRAINS, worker="celery@one#new"))))
        assert "celery@one#1f2e" in lines
        assert "celery@one#new" in lines

    def test_many_workers_share_rows(self):
        many = [replace(WORKER, worker=f"celery@h{n}#1") for n in range(300)]
        lines = shown(overview(*many, DRAINS))
        assert [line.split() for line in lines if "workers  " in line] == [
            ["300", "workers", "celery", "1200", "600", "300", "300"],
            ["1", "workers", "celery", "0", "3", "0", "0", "drains"],
        ]

    @pytest.mark.parametrize("width", [80, 100, 120, 240])
    def test_it_fits_the_terminal_and_says_what_it_leaves_out(self, width):
        lines = shown(overview(WORKER, DRAINS), width)
        assert max(map(len, lines)) <= width
        (row,) = [line for line in lines if line.startswith("resize-image ")]
        assert ("processing" in row) == (width > 100)
        left_out = [line for line in lines if "too narrow for: state" in line]
        assert bool(left_out) == (width <= 100)
