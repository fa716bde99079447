"""Start and stop the processes of the demo."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bridge.local.child_processes import (
    CELERY,
    ProcessFailed,
    background,
    clean_environment,
    free_port,
    listens,
    wait_ready,
)

PROCFILE = Path("Procfile")
WORKERS = 2
EXPORTERS = ("poller", "beat")
"""Lines of the Procfile that serve metrics to Prometheus; each needs a port of its own."""


@dataclass(slots=True)
class Deployment:
    """Where the demo runs; each step of the start fills in what it knows.

    Attributes:
        folder: Data, logs and reports of this run.
        metrics: Line of the Procfile → URL of its metrics.
        env: What points the processes at the local parts.
    """

    folder: Path
    flower_url: str = ""
    stepfunctions_url: str = ""
    metrics: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    @property
    def reports(self) -> Path:
        """Where the executions write their charts and messages."""
        return self.folder / "reports"


@contextmanager
def local_parts(deployment: Deployment) -> Iterator[None]:
    """Run Valkey and Step Functions; their addresses go into the deployment's environment."""
    command = ["local", "--port", "0", "--valkey-port", "0", "--json"]
    command += ["--valkey-dir", str(deployment.folder / "valkey")]
    log = deployment.folder / "local.log"
    with background([*CELERY, *command], env=clean_environment(), log=log) as process:

        def printed_environment() -> dict[str, str] | None:
            text = log.read_text("utf-8")
            if "}" not in text:
                return None
            env: dict[str, str] = json.loads(text[text.index("{") : text.index("}") + 1])
            return env

        deployment.env = wait_ready(printed_environment, process, log=log)
        deployment.stepfunctions_url = deployment.env["AWS_ENDPOINT_URL_SFN"]
        yield


@contextmanager
def procfile_processes(deployment: Deployment) -> Iterator[None]:
    """Create the activities and run the Procfile with two workers; yields when all are ready."""
    env = clean_environment() | deployment.env
    port = free_port()
    env["FLOWER_PORT"] = str(port)
    create = [*CELERY, "activities", "create"]
    created = subprocess.run(create, env=env, capture_output=True, text=True, check=False)
    if created.returncode:
        raise ProcessFailed(f"activities create: {created.stderr.strip()}")
    honcho = [sys.executable, "-m", "honcho", "--env", os.devnull, "--app-root", os.curdir]
    honcho += ["--procfile", str(_procfile_with_metrics(deployment)), "start", "--no-colour"]
    honcho += ["--concurrency", f"worker={WORKERS}"]
    log = deployment.folder / "processes.log"
    with background(honcho, env=env, log=log) as process:

        def ready() -> bool:
            text = log.read_text("utf-8", errors="replace")
            return text.count(" ready.") >= WORKERS + 1 and "serves" in text and listens(port)

        wait_ready(ready, process, log=log)
        deployment.flower_url = f"http://127.0.0.1:{port}"
        yield


def _procfile_with_metrics(deployment: Deployment) -> Path:
    """Copy the Procfile; poller and beat of the copy serve metrics on 127.0.0.1."""
    text = PROCFILE.read_text("utf-8")
    for name in EXPORTERS:
        port = free_port()
        deployment.metrics[name] = f"http://127.0.0.1:{port}/metrics"
        settings = f"BRIDGE_METRICS_HOST=127.0.0.1 BRIDGE_METRICS_PORT={port}"
        text = re.sub(rf"^{name}: ", f"{name}: {settings} ", text, flags=re.MULTILINE)
    copy = deployment.folder / "Procfile"
    copy.write_text(text, "utf-8")
    return copy
