"""A copy of an app of ``apps/``, with the bridge or without it.

The apps are written with the bridge. The lines that the documentation tells users to add end in
``# bridge``; a copy without the bridge does not have these lines.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bridge.local.child_processes import clean_environment
from tests.acceptance.deployment import BEAT, CREDENTIALS, REGION, Process
from tests.fixtures_local import client_of
from tests.waiting import wait_until

APPS = Path(__file__).parent / "apps"
MARK = "# bridge"
CELERY = str(Path(sys.executable).with_name("celery"))
ACCOUNT = "123456789012"
START_S = 90.0
"""Generous, because several pytest workers start processes at once on two cores."""


class HostApp:
    """A copy of an app, and its processes.

    Attributes:
        folder: The working directory of its processes.
        env: The environment of its processes.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        bridge: bool,
        app: str = "shop",
        stepfunctions_url: str = "",
        **env: str,
    ) -> None:
        self.folder, self.bridge, self.app = folder, bridge, app
        self.processes: list[Process] = []
        shutil.copytree(APPS / name, folder)
        shutil.copy(APPS / "notes.py", folder)
        for file in folder.rglob("*.py"):
            lines = file.read_text().splitlines(keepends=True)
            file.write_text("".join(line for line in lines if bridge or not _is_marked(line)))
        self._notes = folder / "notes.tsv"
        self.env = clean_environment() | {
            "NOTES": str(self._notes),
            "PYTHONPATH": str(folder),
            **env,
        }
        if bridge and stepfunctions_url:
            self.env |= {"AWS_ENDPOINT_URL_SFN": stepfunctions_url, "AWS_REGION": REGION}
            self.sfn = client_of(stepfunctions_url)

    # Processes

    def start(self, role: str, *args: str, says: str = "", **env: str) -> Process:
        """Start ``celery -A APP ARGS``, and wait until it logs ``says``."""
        number = sum(process.name.startswith(role) for process in self.processes)
        process = Process(
            f"{role}{number}",
            [CELERY, "-A", self.app, *args],
            env={**self.env, "ROLE": role, **env},
            log=self.folder / f"{role}{number}.log",
            cwd=self.folder,
        )
        self.processes.append(process)
        if says:
            process.says(says, timeout_s=START_S)
        return process

    def worker(self, name: str, *args: str) -> Process:
        """Start a worker of the app's own queues."""
        return self.start(
            "worker",
            "worker",
            "--hostname",
            f"{name}@host",
            "--loglevel",
            "INFO",
            "--without-mingle",
            "--without-gossip",
            *args,
            says="ready.",
        )

    def start_bridge(self) -> None:
        """Create the activities, start a poller and the bridge's beat process."""
        made = self.celery("activities", "create", **CREDENTIALS)
        assert made.returncode == 0, made.stderr
        self.start(
            "bridge",
            *BEAT,
            "--hostname",
            "bridge@host",
            "--loglevel",
            "INFO",
            says="ready.",
            **CREDENTIALS,
        )
        self.start("bridge", "poll", says="serves", **CREDENTIALS)

    def celery(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run ``celery -A APP ARGS``, a command that ends by itself."""
        return subprocess.run(
            [CELERY, "-A", self.app, *args],
            cwd=self.folder,
            env={**self.env, "ROLE": "command", **env},
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def python(self, code: str, **env: str) -> str:
        """Run this code in the app's folder; what it prints."""
        return self.script("-c", code, **env)

    def script(self, *args: str, **env: str) -> str:
        """Run ``python ARGS`` in the app's folder; what it prints."""
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.folder,
            env={**self.env, "ROLE": "driver", **env},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{self.output}"
        return done.stdout

    def finish(self) -> None:
        """Shut the app's processes down warmly, so that they send all their events."""
        own = [process for process in self.processes if process.name[:-1] != "bridge"]
        for process in own:
            assert process.alive, f"{process.name} ended:\n{process.output}"
            process.signal(signal.SIGTERM)
        for process in own:
            assert process.wait(START_S) == 0, process.output

    def stop(self) -> None:
        """Kill all processes that still run."""
        for process in reversed(self.processes):
            process.kill()

    @property
    def output(self) -> str:
        """The logs of all processes."""
        return "\n".join(f"--- {each.name}\n{each.output}" for each in self.processes)

    def notes(self, kind: str) -> list[list[str]]:
        """The app's notes of this kind (see apps/notes.py): role and words of each line."""
        if not self._notes.exists():
            return []
        lines = [line.split("\t") for line in self._notes.read_text().splitlines()]
        return [words for first, *words in lines if first == kind]

    # Step Functions

    def execute(self, activity: str, *events: Any) -> list[str]:
        """Start an execution of one Task state for each event; their ARNs."""
        activities = self.sfn.list_activities()["activities"]
        arn = next(each["activityArn"] for each in activities if each["name"] == activity)
        task = {
            "Type": "Task",
            "Resource": arn,
            "HeartbeatSeconds": 60,
            "TimeoutSeconds": 120,
            "End": True,
        }
        machine = self.sfn.create_state_machine(
            name=f"{activity}-{len(self._machines())}",
            definition=json.dumps({"StartAt": "Work", "States": {"Work": task}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/states",
        )["stateMachineArn"]
        return [
            self.sfn.start_execution(stateMachineArn=machine, input=json.dumps(event))[
                "executionArn"
            ]
            for event in events
        ]

    def _machines(self) -> list[Any]:
        return self.sfn.list_state_machines()["stateMachines"]

    def ended(self, executions: list[str]) -> list[tuple[str, Any]]:
        """Wait until all executions have ended; status, and output or error, of each."""

        def ends() -> list[tuple[str, Any]] | None:
            found = [self.sfn.describe_execution(executionArn=arn) for arn in executions]
            if any(each["status"] == "RUNNING" for each in found):
                return None
            return [
                (e["status"], json.loads(e["output"]) if "output" in e else e.get("error"))
                for e in found
            ]

        try:
            return wait_until(ends, timeout_s=START_S, what="all executions end")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.output}") from None


def _is_marked(line: str) -> bool:
    return line.rstrip().endswith(MARK)
