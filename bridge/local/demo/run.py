"""Run the demo from the first process to the result."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from bridge.errors import SettingsError
from bridge.local.demo.deployment import PROCFILE, Deployment, local_parts, procfile_processes
from bridge.local.demo.executions import (
    CASES,
    MACHINE,
    Execution,
    count_calls,
    create_machine,
    load_cases,
    start_executions,
    update_statuses,
)
from bridge.local.demo.result import show
from bridge.local.run import client_of

RUN_TIMEOUT_S = 150.0


def run_demo(*, executions: int, keep: bool, as_json: bool) -> int:
    """Run the demo.

    Args:
        executions: How many executions to start; they take the cases of ``demo.json`` in turn.
        keep: Leave everything running until Ctrl-C.
        as_json: Print the result as JSON instead of as a table.

    Returns:
        The exit status: 0 if each execution ended with the status that its case expects.

    Raises:
        SettingsError: The working directory is not a checkout of the repository.
        ProcessFailed: A process of the demo did not start.
    """
    _require_checkout()
    cases = load_cases()
    folder = Path("var", "demo", time.strftime("%Y%m%d-%H%M%S")).absolute()
    folder.mkdir(parents=True)
    deployment = Deployment(folder)
    messages = Console(stderr=True)  # standard output is for the result
    try:
        with ExitStack() as stack:
            with messages.status("starting Valkey and Step Functions"):
                stack.enter_context(local_parts(deployment))
            with messages.status("starting poller, two workers, beat and Flower"):
                stack.enter_context(procfile_processes(deployment))
            messages.print(f"metrics: {' '.join(deployment.metrics.values())}", soft_wrap=True)
            sfn = client_of(deployment.stepfunctions_url)
            started = start_executions(
                sfn,
                create_machine(sfn),
                cases=cases,
                count=executions,
                reports=deployment.reports,
            )
            _follow(sfn, started, messages)
            count_calls(sfn, started)
            show(deployment, started, as_json=as_json, keep=keep)
            if keep:
                _wait_for_ctrl_c(deployment, messages)
    except KeyboardInterrupt:
        messages.print("stopped")
        return 130
    return 0 if all(execution.as_expected for execution in started) else 1


def _require_checkout() -> None:
    for path in (MACHINE, CASES, PROCFILE):
        if not path.exists():
            raise SettingsError(
                f"the demo needs {path}, which is not in {Path.cwd()}: it runs in a checkout of "
                "celery-stepfunctions. Clone the repository and run make demo there."
            )


def _follow(sfn: Any, started: list[Execution], messages: Console) -> None:
    """Show the progress until all executions have ended, or until ``RUN_TIMEOUT_S``."""
    deadline = time.monotonic() + RUN_TIMEOUT_S
    with Live(console=messages, auto_refresh=False, transient=True) as live:
        while time.monotonic() < deadline:
            update_statuses(sfn, started)
            live.update(_progress(started), refresh=True)
            if all(execution.ended for execution in started):
                return
            time.sleep(0.25)


def _progress(started: list[Execution]) -> Table:
    ended = sum(execution.ended for execution in started)
    bar = ProgressBar(total=len(started), completed=ended, width=40)
    table = Table.grid(padding=(0, 1))
    table.add_row("executions", bar, f"{ended}/{len(started)}")
    return table


def _wait_for_ctrl_c(deployment: Deployment, messages: Console) -> None:
    messages.print("\nEverything keeps running until Ctrl-C. To use it from another shell:")
    for name, value in deployment.env.items():
        messages.print(f"export {name}={value}", soft_wrap=True, highlight=False)
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    signal.sigwait(stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop)
