"""``python -m bench.simulate --claims 1000000``: beat's passes over a store that is that full.

The claims are put in by the store's own scripts (``bench.fill``) and run on workers that exist in
the store only. Then the beat process's own passes run, in a process of their own, against the stub:
heartbeats of what is due, recovery with nothing lost, and what ``status`` reads. Real are Valkey,
the store, the passes and the calls over HTTP; Step Functions and the workers are not there.
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
from bench.control import StubServer
from bench.fill import INPUT, Filler, settings_of
from bench.jobs import activity_names
from bench.measures.growth import passes_of
from bench.processes import BenchError
from bench.stats import spread
from bench.stub import TOKEN_BYTES
from bench.tables import Table
from bench.talking import Talking
from bridge.capacity.quotas import buckets
from bridge.local.valkey import LocalValkey

INTERVALS_S = (20.0, 60.0, 600.0, 3_600.0)
ROUNDS = 5
BURST = 20_000
"""Heartbeats of the pass that shows how many a second one beat process sends."""
WORKERS, ACTIVITIES = 100, 10
PART = 250_000
LEASE_MS = 24 * 3_600_000
NAME = "million"


@click.command()
@click.option(
    "--claims",
    type=click.IntRange(min=1_000),
    default=1_000_000,
    show_default=True,
    help="In flight at once. A million take about 2 GB.",
)
@click.option("--region", default="us-east-1", show_default=True, help="Whose quota counts.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the figures here.",
)
def main(*, claims: int, region: str, json_file: Path | None) -> None:
    """Fill a Valkey with claims in flight and run beat's passes over them."""
    console = Console(stderr=True)
    quota = buckets(region)["SendTaskHeartbeat"].rate
    try:
        with console.status("starting") as status:
            found = simulate(claims, quota=quota, say=status.update)
    except BenchError as exc:
        raise click.ClickException(str(exc)) from None
    if json_file:
        json_file.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    terminal.show_tables(tables(found), Console())


def simulate(claims: int, *, quota: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Returns seconds, milliseconds and bytes; see ``tables``."""
    folder = Path(tempfile.mkdtemp(prefix="simulate-"))
    with ExitStack() as stack:
        stub = StubServer(folder)
        stack.callback(stub.stop)
        valkey = stack.enter_context(LocalValkey())
        filler = Filler(settings_of(valkey.url, NAME))
        stack.callback(filler.close)
        empty, began = filler.used_bytes(), time.monotonic()
        ids = _fill(filler, claims, say)
        fill_s = time.monotonic() - began
        passes = passes_of(NAME, ACTIVITIES, valkey.url, endpoint=stub.url, folder=folder)
        stack.callback(passes.stop)
        used = filler.used_bytes() - empty
        found = {
            "machine": machine.describe(),
            "claims": claims,
            "activities": ACTIVITIES,
            "workers": WORKERS,
            "quota": quota,
            "fill_s": round(fill_s, 1),
            "redis_bytes": used,
            "bytes_per_claim": round(used / claims - TOKEN_BYTES - len(INPUT)),
            **_passes(filler, passes, ids, round(quota), say),
        }
    shutil.rmtree(folder, ignore_errors=True)  # kept when it did not get here: for its logs
    return found


def _fill(filler: Filler, claims: int, say: Callable[[str], None]) -> list[str]:
    filler.announce(WORKERS)
    # Nobody renews them, and a million claims take longer than the longest lease.
    root = f"{{{NAME}}}"
    ends = time.time() * 1000 + LEASE_MS
    filler.redis.zadd(f"{root}:workers", {f"worker-{n}": ends for n in range(WORKERS)}, xx=True)
    ids: list[str] = []
    while len(ids) < claims:
        say(f"{len(ids):,} of {claims:,} claims")
        part = min(PART, claims - len(ids))
        ids += filler.fill(part, activities=activity_names(NAME, ACTIVITIES), workers=WORKERS)
    return ids


def _passes(
    filler: Filler, passes: Talking, ids: list[str], quota: int, say: Callable[[str], None]
) -> dict[str, Any]:
    random.seed(len(ids))
    filler.make_due([])
    for warm_up in ("heartbeat", "recover", "status"):
        passes.ask(warm_up)

    def beat(due: int) -> dict[str, float]:
        filler.make_due(random.sample(ids, due))
        before = filler.cpu_s()
        spent = passes.ask("heartbeat")
        if spent["said"] is None or spent["said"]["sent"] != due:
            raise BenchError(f"{due} heartbeats were due, and the pass did {spent['said']}")
        return {
            "wall_s": spent["wall_s"],
            "beat_ms": 1000 * spent["cpu_s"] / due,
            "valkey_ms": 1000 * (filler.cpu_s() - before) / due,
        }

    say("heartbeats, as many as can be")
    burst = [beat(min(BURST, len(ids))) for _ in range(ROUNDS)]
    say("heartbeats, a second's share of the quota")
    second = [beat(quota) for _ in range(ROUNDS)]
    say("recovery and status")
    return {
        "burst": min(BURST, len(ids)),
        "heartbeats_per_s": spread([min(BURST, len(ids)) / each["wall_s"] for each in burst], 0),
        "beat_cpu_ms": spread([each["beat_ms"] for each in burst], 4),
        "valkey_cpu_ms": spread([each["valkey_ms"] for each in burst], 4),
        "quota_pass_ms": spread([1000 * each["wall_s"] for each in second], 1),
        "recovery_ms": spread([1000 * passes.ask("recover")["wall_s"] for _ in range(15)]),
        "status_ms": spread([1000 * passes.ask("status")["wall_s"] for _ in range(9)]),
    }


def tables(found: dict[str, Any]) -> list[Table]:
    """What it took, and which interval of heartbeats one beat process and the quota bear."""
    claims, rate, quota = found["claims"], found["heartbeats_per_s"]["median"], found["quota"]
    took = Table(f"{claims:,} claims in flight", ["what", "measured"])
    took.rows = [
        ["filled in", f"{found['fill_s']:.0f} s"],
        ["Redis", f"{found['redis_bytes'] / 1e9:.2f} GB"],
        ["of it, a claim beyond token and input", f"{found['bytes_per_claim']:,} bytes"],
        [f"{found['burst']:,} heartbeats in one pass", f"{rate:,.0f}/s"],
        ["CPU of beat, a heartbeat", f"{found['beat_cpu_ms']['median']:.3f} ms"],
        ["CPU of Valkey, a heartbeat", f"{found['valkey_cpu_ms']['median']:.3f} ms"],
        [f"a pass of {quota:,.0f} heartbeats", f"{found['quota_pass_ms']['median']:.0f} ms"],
        ["recovery, nothing lost", f"{found['recovery_ms']['median']:.2f} ms"],
        ["status", f"{found['status_ms']['median']:.2f} ms"],
    ]
    intervals = Table(
        "Heartbeats of all of them (calculated)",
        ["interval", "a second", "beat processes", f"of the quota, {quota:,.0f}/s"],
        note=f"One beat process bears an interval of {claims / rate:,.0f} s; the quota, one of "
        f"{claims / quota:,.0f} s.",
    )
    for interval_s in INTERVALS_S:
        a_second = claims / interval_s
        intervals.rows.append(
            [
                f"{interval_s:,.0f} s",
                f"{a_second:,.0f}",
                f"{-(-a_second // rate):,.0f}",
                f"{100 * a_second / quota:,.0f} %",
            ]
        )
    return [took, intervals]


if __name__ == "__main__":
    main()
