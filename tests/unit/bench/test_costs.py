"""The planner's figures are written from a run of the bench."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from bench.costs import main
from bench.stats import spread
from bridge.capacity.costs import Costs


def part(cpu_ms, rss_mb):
    return {"cpu_ms": spread([cpu_ms]), "rss_mb": rss_mb}


RESULT = {
    "date": "2026-02-03",
    "quick": False,
    "machine": {
        "cores": 2,
        "cpu": "some CPU",
        "system": "Linux 6",
        "python": "3.11.7",
        "valkey": "9",
        "packages": {"celery": "5.7.0"},
    },
    "measures": {
        "cost": {
            "contestants": {
                "bridge-threads": {
                    "configuration": "one of each",
                    "parts": {
                        "poller": part(2.0, 100),
                        "worker": part(1.5, 90),
                        "beat": part(0.1, 80),
                        "valkey": part(0.5, 10),
                    },
                }
            }
        },
        "heartbeats": {"parts_cpu_ms": {"beat": spread([0.25]), "valkey": spread([0.02])}},
        "polls": {
            "base_rss_mb": 55.0,
            "pollers": [
                {"polls": 100, "rss_kb_per_poll": 9.0},
                {"polls": 1_000, "rss_kb_per_poll": 4.0},
            ],
        },
        "growth": {
            "token_bytes": 642,
            "bytes_per_message": 1_000,
            "bytes_per_closed_claim": 200,
            "rows": [
                {"claims": 1_000, "activities": 1, "bytes_per_claim": 900},
                {"claims": 10_000, "activities": 1, "bytes_per_claim": 700},
                {"claims": 10_000, "activities": 100, "bytes_per_claim": 800},
            ],
        },
    },
}


@pytest.fixture
def write(tmp_path):
    def run(result):
        (tmp_path / "result.json").write_text(json.dumps(result))
        output = tmp_path / "costs.json"
        return CliRunner().invoke(
            main, [str(tmp_path / "result.json"), "--output", str(output)]
        ), output

    return run


def test_the_figures_are_written_with_the_machine_and_the_date(write):
    result, output = write(RESULT)
    assert result.exit_code == 0, result.output
    costs = Costs(**json.loads(output.read_text()))
    assert (costs.poller_task_ms, costs.worker_task_ms, costs.valkey_task_ms) == (2.0, 1.5, 0.5)
    assert (costs.beat_heartbeat_ms, costs.valkey_heartbeat_ms) == (0.25, 0.02)
    assert costs.measured["date"] == "2026-02-03"
    assert costs.measured["packages"] == {"celery": "5.7.0"}


def test_the_largest_of_several_sizes_counts(write):
    """There, what the store and the poller need once weighs least."""
    _, output = write(RESULT)
    costs = Costs(**json.loads(output.read_text()))
    assert (costs.claim_bytes, costs.poll_rss_kb) == (700, 4.0)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (("measures", "growth"), "measure 'growth'"),
        (("measures", "cost", "contestants", "bridge-threads", "parts"), "figure 'parts'"),
        (("date",), "figure 'date'"),
    ],
)
def test_a_missing_figure_is_named_and_nothing_is_written(write, missing, message):
    result = copy.deepcopy(RESULT)
    *path, last = missing
    part_of_result = result
    for key in path:
        part_of_result = part_of_result[key]
    del part_of_result[last]
    done, output = write(result)
    assert done.exit_code == 1
    assert message in done.output
    assert not output.exists()
