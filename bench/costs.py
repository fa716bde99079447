"""``python -m bench.costs RESULT.json``: write ``bridge/capacity/costs.json`` from a run's results.

``celery -A bridge capacity`` calculates with these figures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench import result_file
from bench.processes import ROOT
from bridge.capacity.costs import Costs

FILE = ROOT / "bridge" / "capacity" / "costs.json"
NEEDED = ("cost", "heartbeats", "polls", "growth")
BRIDGE = "bridge-threads"
"""The contestant whose figures count; quick runs have it, too."""


class Missing(Exception):
    """The run does not have a figure or a measure; the message names it."""


@click.command()
@click.argument(
    "result", type=click.Path(path_type=Path, exists=True, dir_okay=False), default=result_file.FILE
)
@click.option(
    "--output",
    default=FILE,
    show_default="bridge/capacity/costs.json",
    type=click.Path(path_type=Path, dir_okay=False),
)
def main(*, result: Path, output: Path) -> None:
    """Write the planner's figures from RESULT (default: bench/results/results.json)."""
    try:
        costs = costs_of(result_file.load(result))
    except Missing as exc:
        raise click.ClickException(
            f"{result.name} has no {exc}: run python -m bench, with --only for each of "
            f"{', '.join(NEEDED)} or without, and give its results."
        ) from None
    text = json.dumps(asdict(costs), indent=2, ensure_ascii=False)
    output.write_text(f"{text}\n", encoding="utf-8")
    click.echo(f"{output.name}: measured on {costs.measured['date']}")


def costs_of(results: dict[str, Any]) -> Costs:
    """The planner's figures.

    Raises:
        Missing: The run left out a measure, or is of a bench that did not measure all of them yet.
    """
    measures = results["measures"]
    for name in NEEDED:
        if name not in measures:
            raise Missing(f"measure {name!r}")
    try:
        return _costs(results, **{name: measures[name] for name in NEEDED})
    except KeyError as exc:
        raise Missing(f"figure {exc.args[0]!r}") from None


def _costs(
    results: dict[str, Any],
    *,
    cost: dict[str, Any],
    heartbeats: dict[str, Any],
    polls: dict[str, Any],
    growth: dict[str, Any],
) -> Costs:
    parts = cost["contestants"][BRIDGE]["parts"]
    beats = heartbeats["parts_cpu_ms"]
    machine = results["machine"]
    # The most claims (on the fewest activities) and the most polls: fixed costs weigh least there.
    largest = max(growth["rows"], key=lambda row: (row["claims"], -row["activities"]))
    widest = max(polls["pollers"], key=lambda row: row["polls"])
    return Costs(
        measured={
            "date": results["date"],
            "quick": results["quick"],
            "machine": f"{machine['cores']} cores of {machine['cpu']}, {machine['system']}",
            "python": machine["python"],
            "valkey": machine["valkey"],
            "packages": machine["packages"],
            "worker": cost["contestants"][BRIDGE]["configuration"],
        },
        poller_task_ms=parts["poller"]["cpu_ms"]["median"],
        worker_task_ms=parts["worker"]["cpu_ms"]["median"],
        valkey_task_ms=parts["valkey"]["cpu_ms"]["median"],
        beat_heartbeat_ms=beats["beat"]["median"],
        valkey_heartbeat_ms=beats["valkey"]["median"],
        claim_bytes=largest["bytes_per_claim"],
        token_bytes=growth["token_bytes"],
        message_bytes=growth["bytes_per_message"],
        closed_claim_bytes=growth["bytes_per_closed_claim"],
        poller_rss_mb=polls["base_rss_mb"],
        poll_rss_kb=widest["rss_kb_per_poll"],
        beat_rss_mb=parts["beat"]["rss_mb"],
    )


if __name__ == "__main__":
    main()
