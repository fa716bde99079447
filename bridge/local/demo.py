"""``celery -A bridge demo``: the example pipeline of ``tasks/`` on local parts, as real processes.

Valkey and Step Functions run as ``celery -A bridge local``, everything else as the Procfile says,
started by honcho. What each execution should come to stands beside the state machine, in
``tasks/demo.json``; the exit status is 0 only if all came to that.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bridge.errors import SettingsError
from bridge.local.child_processes import (
    CELERY,
    ProcessFailed,
    background,
    clean_environment,
    free_port,
    listens,
    wait_ready,
)
from bridge.local.run import client_of

FOLDER = Path("tasks")
MACHINE = FOLDER / "monthly_report.asl.json"
CASES = FOLDER / "demo.json"
PROCFILE = Path("Procfile")
WORKERS = 2
EXPORTERS = ("poller", "beat")
"""Lines of the Procfile that answer Prometheus; each needs a port of its own."""
RUN_TIMEOUT_S = 150.0
ROLE_ARN = "arn:aws:iam::123456789012:role/local"


@dataclass(slots=True)
class Execution:
    """One execution of the demo, and what became of it."""

    name: str
    kind: str
    expected: str
    arn: str
    status: str = "RUNNING"
    duration_s: float = 0.0
    jobs: int = 0
    retries: int = 0
    heartbeats: int = 0

    @property
    def ended(self) -> bool:
        """Whether Step Functions has ended it."""
        return self.status != "RUNNING"

    @property
    def as_expected(self) -> bool:
        """Whether it ended as its case says."""
        return self.status == self.expected


@dataclass(slots=True)
class Place:
    """Where the demo runs: its folder, its addresses, its environment.

    Attributes:
        metrics: Line of the Procfile → where it answers Prometheus.
    """

    folder: Path
    flower_url: str = ""
    stepfunctions_url: str = ""
    metrics: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)


def run_demo(*, executions: int, keep: bool, as_json: bool) -> int:
    """Run the demo; the exit status."""
    cases = _load_cases()
    folder = Path("var", "demo", time.strftime("%Y%m%d-%H%M%S")).absolute()
    folder.mkdir(parents=True)
    place = Place(folder)
    say = Console(stderr=True)  # standard output is for the result
    try:
        with ExitStack() as stack:
            with say.status("starting Valkey and Step Functions"):
                stack.enter_context(_local_parts(place))
            with say.status("starting poller, two workers, beat and Flower"):
                stack.enter_context(_procfile(place))
            say.print(f"metrics: {' '.join(place.metrics.values())}", soft_wrap=True)
            machine = _create_machine(place)
            started = _start_executions(place, machine, cases, executions)
            _watch(place, started, say)
            _count_calls(place, started)
            _show(place, started, as_json=as_json, keep=keep)
            if keep:
                _wait_for_ctrl_c(place, say)
    except KeyboardInterrupt:
        say.print("stopped")
        return 130
    return 0 if all(execution.as_expected for execution in started) else 1


def _load_cases() -> list[dict[str, Any]]:
    for path in (MACHINE, CASES, PROCFILE):
        if not path.exists():
            raise SettingsError(
                f"the demo needs {path}, which is not in {Path.cwd()}: it runs in a checkout of "
                "celery-stepfunctions. Clone the repository and say make demo there."
            )
    cases: list[dict[str, Any]] = json.loads(CASES.read_text("utf-8"))
    return cases


@contextmanager
def _local_parts(place: Place) -> Iterator[None]:
    """Valkey and Step Functions; their addresses are the environment of all that follows."""
    data = place.folder / "valkey"
    args = ["local", "--port", "0", "--valkey-port", "0", "--valkey-dir", str(data), "--json"]
    log = place.folder / "local.log"
    with background([*CELERY, *args], env=clean_environment(), log=log) as process:

        def announced() -> dict[str, str] | None:
            text = log.read_text("utf-8")
            if "}" not in text:
                return None
            env: dict[str, str] = json.loads(text[text.index("{") : text.index("}") + 1])
            return env

        place.env = wait_ready(announced, process, log=log)
        place.stepfunctions_url = place.env["AWS_ENDPOINT_URL_SFN"]
        yield


@contextmanager
def _procfile(place: Place) -> Iterator[None]:
    """The Procfile, with two workers; returns once all of them are ready."""
    env = clean_environment() | place.env
    port = free_port()
    env["FLOWER_PORT"] = str(port)
    create = [*CELERY, "activities", "create"]
    created = subprocess.run(create, env=env, capture_output=True, text=True, check=False)
    if created.returncode:
        raise ProcessFailed(f"activities create: {created.stderr.strip()}")
    args = [
        sys.executable,
        "-m",
        "honcho",
        "--env",
        os.devnull,
        "--app-root",
        os.curdir,
        "--procfile",
        str(_with_metrics(place)),
        "start",
        "--no-colour",
        "--concurrency",
        f"worker={WORKERS}",
    ]
    log = place.folder / "processes.log"
    with background(args, env=env, log=log) as process:

        def ready() -> bool:
            text = log.read_text("utf-8", errors="replace")
            return text.count(" ready.") >= WORKERS + 1 and "serves" in text and listens(port)

        wait_ready(ready, process, log=log)
        place.flower_url = f"http://127.0.0.1:{port}"
        yield


def _with_metrics(place: Place) -> Path:
    """A copy of the Procfile whose poller and beat answer Prometheus, on this machine only."""
    text = PROCFILE.read_text("utf-8")
    for name in EXPORTERS:
        port = free_port()
        place.metrics[name] = f"http://127.0.0.1:{port}/metrics"
        settings = f"BRIDGE_METRICS_HOST=127.0.0.1 BRIDGE_METRICS_PORT={port}"
        text = re.sub(rf"^{name}: ", f"{name}: {settings} ", text, flags=re.MULTILINE)
    copy = place.folder / "Procfile"
    copy.write_text(text, "utf-8")
    return copy


def _create_machine(place: Place) -> str:
    """Create the state machine, with the ARNs of the activities in it."""
    sfn = client_of(place.stepfunctions_url)
    activities = [
        activity
        for page in sfn.get_paginator("list_activities").paginate()
        for activity in page["activities"]
    ]
    arns = {_substitution(activity["name"]): activity["activityArn"] for activity in activities}
    definition = re.sub(
        r"\$\{(\w+)\}", lambda match: arns[match.group(1)], MACHINE.read_text("utf-8")
    )
    name = MACHINE.name.partition(".")[0].replace("_", "-")
    made = sfn.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)
    return str(made["stateMachineArn"])


def _substitution(activity: str) -> str:
    """``data-validation-activity`` → ``DataValidationActivity``, as in the definition."""
    return "".join(word.capitalize() for word in re.split(r"[-_]", activity))


def _start_executions(
    place: Place, machine: str, cases: list[dict[str, Any]], count: int
) -> list[Execution]:
    sfn, started = client_of(place.stepfunctions_url), []
    reports = place.folder / "reports"
    for number in range(count):
        case = cases[number % len(cases)]
        name = f"{number + 1:03}-{case['name']}"
        event = {**case["input"], "output_dir": str(reports)}
        if "orders" in event:
            event["orders"] = str(Path(event["orders"]).absolute())
        answer = sfn.start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))
        started.append(Execution(name, case["name"], case["status"], answer["executionArn"]))
    return started


def _watch(place: Place, started: list[Execution], say: Console) -> None:
    """Follow the executions until all have ended, or for too long."""
    sfn = client_of(place.stepfunctions_url)
    deadline = time.monotonic() + RUN_TIMEOUT_S
    with Live(console=say, auto_refresh=False, transient=True) as live:
        while time.monotonic() < deadline:
            for execution in [each for each in started if not each.ended]:
                found = sfn.describe_execution(executionArn=execution.arn)
                execution.status = found["status"]
                if "stopDate" in found:
                    lasted = found["stopDate"] - found["startDate"]
                    execution.duration_s = lasted.total_seconds()
            live.update(_progress(started), refresh=True)
            if all(execution.ended for execution in started):
                return
            time.sleep(0.25)


def _progress(started: list[Execution]) -> Table:
    ended = sum(execution.ended for execution in started)
    table = Table.grid(padding=(0, 1))
    table.add_row(
        "executions",
        ProgressBar(total=len(started), completed=ended, width=40),
        f"{ended}/{len(started)}",
    )
    return table


def _count_calls(place: Place, started: list[Execution]) -> None:
    """Jobs and heartbeats as Step Functions counted them, retries from the history."""
    with urllib.request.urlopen(f"{place.stepfunctions_url}/_local/calls", timeout=10) as answer:  # noqa: S310
        calls = json.load(answer)
    history = client_of(place.stepfunctions_url).get_paginator("get_execution_history")
    for execution in started:
        counted = calls.get(execution.arn, {})
        execution.jobs = counted.get("claims", 0)
        execution.heartbeats = counted.get("heartbeats", 0)
        types = [
            event["type"]
            for page in history.paginate(executionArn=execution.arn)
            for event in page["events"]
        ]
        # A state enters once and schedules once more for each retry.
        execution.retries = types.count("ActivityScheduled") - types.count("TaskStateEntered")


def _show(place: Place, started: list[Execution], *, as_json: bool, keep: bool) -> None:
    reports = place.folder / "reports"
    charts = sorted(reports.rglob("*.png"))
    ok = all(execution.as_expected for execution in started)
    if as_json:
        result = {
            "ok": ok,
            "executions": [{**asdict(e), "as_expected": e.as_expected} for e in started],
            "reports": str(reports),
            "chart": str(charts[0]) if charts else None,
            "flower": place.flower_url,
            "metrics": place.metrics,
            "logs": str(place.folder),
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("execution")
    table.add_column("status")
    for column in ("duration", "jobs", "retries", "heartbeats"):
        table.add_column(column, justify="right")
    for execution in started:
        good = "[green]" if execution.as_expected else "[red]"
        wanted = "" if execution.as_expected else f" (expected {execution.expected})"
        table.add_row(
            execution.name,
            f"{good}{execution.status}[/]{wanted}",
            f"{execution.duration_s:.1f} s",
            str(execution.jobs),
            str(execution.retries),
            str(execution.heartbeats),
        )
    console.print(table)
    ended = sum(execution.as_expected for execution in started)
    console.print(f"\n{ended} of {len(started)} executions ended as they should.", highlight=False)
    for label, value in (
        ("chart", charts[0] if charts else "none was made"),
        ("reports", reports),
        ("logs", place.folder),
        ("Flower", place.flower_url if keep else f"{place.flower_url} until now; --keep keeps it"),
    ):
        console.print(f"{label:8}{value}", soft_wrap=True, highlight=False)


def _wait_for_ctrl_c(place: Place, say: Console) -> None:
    say.print("\nEverything goes on running; Ctrl-C stops it. In another shell:")
    for name, value in place.env.items():
        say.print(f"export {name}={value}", soft_wrap=True, highlight=False)
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    signal.sigwait(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
