"""What a run has shown: data for ``--json``, and a table for people."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.chaos.executions import Execution, ExecutionStream
from tests.faults.chaos.faults import OUTCOMES, InjectedFault, Injector
from tests.faults.chaos.fleet import Fleet
from tests.faults.http_proxy import HttpProxy

Summary = dict[str, Any]
"""As ``--json`` prints it; ``ok`` decides the exit status."""


def doubled(stream: ExecutionStream, stepfunctions: HttpProxy) -> list[str]:
    """Claims of which two outcomes were taken, and executions that a job succeeded for twice."""
    taken = Counter(
        call.claim_id
        for call in stepfunctions.calls
        if call.operation in OUTCOMES and call.status == 200
    )
    found = [f"claim {claim_id}" for claim_id, times in taken.items() if times > 1]
    for execution in stream.executions:
        history = stream.deployment.history(execution.arn)
        if sum(event["type"] == "ActivitySucceeded" for event in history) > 1:
            found.append(execution.arn)
    return found


def summarize(
    *,
    seed: int,
    executions: list[Execution],
    injector: Injector,
    fleet: Fleet,
    claims_left: int,
    doubled: list[str],
) -> Summary:
    """What happened; call it when all executions have ended."""
    by_name = defaultdict(list)
    for fault in injector.injected:
        by_name[fault.name].append(fault)
    rows = [_row(name, faults, injector) for name, faults in sorted(by_name.items())]
    lost = [execution.arn for execution in executions if execution.lost]
    late = sorted(row["fault"] for row in rows if row["late"])
    return {
        "seed": seed,
        "executions": len(executions),
        "faults": rows,
        "lost": lost,
        "doubled": doubled,
        "bounds_broken": late,
        "claims_left": claims_left,
        "restarts": fleet.restarts,
        "ended_by_themselves": fleet.unexpected,
        "ok": not (lost or doubled or late or claims_left or fleet.unexpected),
    }


def _row(name: str, faults: list[InjectedFault], injector: Injector) -> dict[str, Any]:
    """All faults of one name."""
    recoveries_s = [fault.recovery_s for fault in faults]
    touched = [execution for fault in faults for execution in fault.touched]
    return {
        "fault": name,
        "injected": len(faults),
        "touched": len(touched),
        "lost": sum(execution.lost for execution in touched),
        "recovery_p50_s": round(statistics.median(recoveries_s), 1),
        "recovery_max_s": round(max(recoveries_s), 1),
        "bound_s": injector.bound_s(name),
        "late": any(fault.recovery_s > injector.allowed_s(fault) for fault in faults),
    }


def show(found: Summary, console: Console) -> None:
    """Print the table for people."""
    table = Table(title=f"{found['executions']} executions, seed {found['seed']}")
    for heading in ("fault", "times", "touched", "lost", "recovery p50", "max", "bound"):
        table.add_column(heading, justify="left" if heading == "fault" else "right", no_wrap=True)
    for row in found["faults"]:
        table.add_row(
            row["fault"],
            str(row["injected"]),
            str(row["touched"]),
            str(row["lost"]),
            f"{row['recovery_p50_s']} s",
            f"{row['recovery_max_s']} s" + (" !" if row["late"] else ""),
            f"{row['bound_s']:.0f} s",
        )
    console.print(table)
    for name in ("lost", "doubled", "bounds_broken", "ended_by_themselves"):
        console.print(f"{name.replace('_', ' ')}: {len(found[name])}", *found[name][:10])
    console.print(
        f"claims left: {found['claims_left']}, processes started again: {found['restarts']}"
    )
