"""``python -m bench.simulate --claims 1000000``: run beat's passes over a store with many claims.

The store's own scripts put the claims in (``bench.store_filler``). They run on workers that exist
in the store only. Then a process runs beat's passes against the stub: heartbeats of the claims that
are due, recovery with no claim lost, and the reads of ``status``. Valkey, the store, the passes and
the HTTP calls are real; Step Functions and the workers are not.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import machine, terminal
from bench.jobs import activity_names
from bench.measures.growth import passes_program
from bench.processes import BenchError
from bench.program_process import ProgramProcess
from bench.stats import spread
from bench.store_filler import INPUT, Filler, settings_of
from bench.stub import TOKEN_BYTES
from bench.stub_server import StubServer
from bench.tables import Table
from bridge.capacity.quotas import buckets
from bridge.local.valkey import LocalValkey

INTERVALS_S = (20.0, 60.0, 600.0, 3_600.0)
ROUNDS = 5
BURST = 20_000
"""Heartbeats of the pass that shows how many a second one beat process sends."""
WORKERS, ACTIVITIES = 100, 10
PART = 250_000
"""Claims that are filled in between two messages to people."""
LEASE_MS = 24 * 3_600_000
NAME = "million"


@click.command()
@click.option(
    "--claims",
    type=click.IntRange(min=1_000),
    default=1_000_000,
    show_default=True,
    help="Claims in flight at once. A million take about 2 GB.",
)
@click.option(
    "--region", default="us-east-1", show_default=True, help="The region whose quota counts."
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the figures to this file.",
)
def main(*, claims: int, region: str, json_file: Path | None) -> None:
    """Fill a Valkey with claims in flight and run beat's passes over them."""
    console = Console(stderr=True)
    quota = buckets(region)["SendTaskHeartbeat"].rate
    try:
        with console.status("starting") as status:
            figures = simulate(claims, quota=quota, say=status.update)
    except BenchError as exc:
        raise click.ClickException(str(exc)) from None
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    terminal.show_tables(tables(figures), Console())


def simulate(claims: int, *, quota: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure; the figures are those that ``tables`` shows."""
    folder = Path(tempfile.mkdtemp(prefix="simulate-"))
    with ExitStack() as stack:
        stub = StubServer(folder)
        stack.callback(stub.stop)
        valkey = stack.enter_context(LocalValkey())
        filler = Filler(settings_of(valkey.url, NAME))
        stack.callback(filler.close)
        empty_bytes, began = filler.used_bytes(), time.monotonic()
        ids = _fill(filler, claims, say)
        fill_s = time.monotonic() - began
        passes = passes_program(
            NAME, activities=ACTIVITIES, store_url=valkey.url, endpoint=stub.url, folder=folder
        )
        stack.callback(passes.stop)
        used_bytes = filler.used_bytes() - empty_bytes
        figures = {
            "machine": machine.describe(),
            "claims": claims,
            "activities": ACTIVITIES,
            "workers": WORKERS,
            "quota": quota,
            "fill_s": round(fill_s, 1),
            "redis_bytes": used_bytes,
            "bytes_per_claim": round(used_bytes / claims - TOKEN_BYTES - len(INPUT)),
            **_measure_passes(filler, passes, ids, quota=round(quota), say=say),
        }
    shutil.rmtree(folder, ignore_errors=True)  # after an error it is kept, for its logs
    return figures


def _fill(filler: Filler, claims: int, say: Callable[[str], None]) -> list[str]:
    filler.announce(WORKERS)
    # These leases are not renewed, and filling in a million claims takes longer than the longest.
    root = f"{{{NAME}}}"
    ends = time.time() * 1000 + LEASE_MS
    filler.redis.zadd(f"{root}:workers", {f"worker-{n}": ends for n in range(WORKERS)}, xx=True)
    ids: list[str] = []
    while len(ids) < claims:
        say(f"{len(ids):,} of {claims:,} claims")
        part = min(PART, claims - len(ids))
        ids += filler.fill(part, activities=activity_names(NAME, ACTIVITIES), workers=WORKERS)
    return ids


def _measure_passes(
    filler: Filler,
    passes: ProgramProcess,
    ids: list[str],
    *,
    quota: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    random.seed(len(ids))
    filler.make_due([])
    for warm_up in ("heartbeat", "recover", "status"):
        passes.ask(warm_up)

    def heartbeat(due: int) -> dict[str, float]:
        filler.make_due(random.sample(ids, due))
        before = filler.cpu_s()
        spent = passes.ask("heartbeat")
        if spent["said"] is None or spent["said"]["sent"] != due:
            raise BenchError(f"{due} heartbeats were due, and the pass returned {spent['said']}")
        return {
            "wall_s": spent["wall_s"],
            "beat_ms": 1000 * spent["cpu_s"] / due,
            "valkey_ms": 1000 * (filler.cpu_s() - before) / due,
        }

    burst = min(BURST, len(ids))
    say(f"passes of {burst:,} heartbeats")
    bursts = [heartbeat(burst) for _ in range(ROUNDS)]
    say("passes of as many heartbeats as the quota allows a second")
    quotas = [heartbeat(quota) for _ in range(ROUNDS)]
    say("recovery and status")
    return {
        "burst": burst,
        "heartbeats_per_s": spread([burst / each["wall_s"] for each in bursts], 0),
        "beat_cpu_ms": spread([each["beat_ms"] for each in bursts], 4),
        "valkey_cpu_ms": spread([each["valkey_ms"] for each in bursts], 4),
        "quota_pass_ms": spread([1000 * each["wall_s"] for each in quotas], 1),
        "recovery_ms": spread([1000 * passes.ask("recover")["wall_s"] for _ in range(15)]),
        "status_ms": spread([1000 * passes.ask("status")["wall_s"] for _ in range(9)]),
    }


def tables(figures: dict[str, Any]) -> list[Table]:
    """What was measured, and which heartbeat interval one beat process and the quota allow."""
    claims, quota = figures["claims"], figures["quota"]
    per_s = figures["heartbeats_per_s"]["median"]
    measured = Table(f"{claims:,} claims in flight", ["what", "measured"])
    measured.rows = [
        ["filled in", f"{figures['fill_s']:.0f} s"],
        ["Redis", f"{figures['redis_bytes'] / 1e9:.2f} GB"],
        ["of it, a claim beyond token and input", f"{figures['bytes_per_claim']:,} bytes"],
        [f"{figures['burst']:,} heartbeats in one pass", f"{per_s:,.0f}/s"],
        ["CPU of beat, a heartbeat", f"{figures['beat_cpu_ms']['median']:.3f} ms"],
        ["CPU of Valkey, a heartbeat", f"{figures['valkey_cpu_ms']['median']:.3f} ms"],
        [f"a pass of {quota:,.0f} heartbeats", f"{figures['quota_pass_ms']['median']:.0f} ms"],
        ["recovery, nothing lost", f"{figures['recovery_ms']['median']:.2f} ms"],
        ["status", f"{figures['status_ms']['median']:.2f} ms"],
    ]
    intervals = Table(
        "Heartbeats of all of them (calculated)",
        ["interval", "a second", "beat processes", f"of the quota, {quota:,.0f}/s"],
        note=f"The shortest interval that one beat process allows is {claims / per_s:,.0f} s; the "
        f"quota allows {claims / quota:,.0f} s.",
    )
    for interval_s in INTERVALS_S:
        needed_per_s = claims / interval_s
        intervals.add(
            f"{interval_s:,.0f} s",
            f"{needed_per_s:,.0f}",
            f"{-(-needed_per_s // per_s):,.0f}",
            f"{100 * needed_per_s / quota:,.0f} %",
        )
    return [measured, intervals]


if __name__ == "__main__":
    main()
