"""A deployment of real processes, as the Procfile starts them; for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from bridge import versions
from bridge.local.child_processes import die_with_parent
from bridge.local.valkey import LocalValkey
from tests.waiting import wait_until

HERE = Path(__file__).parent
CELERY = Path(sys.executable).with_name("celery")
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local-secret"}
BEAT = ("worker", "-B", "-Q", "bridge.system", "--pool", "threads")
"""The arguments that make a Celery worker the bridge's beat process."""


class Run(NamedTuple):
    """What a job wrote when it began: see ``note`` in jobs.py."""

    id: str
    claim_id: str
    attempt: str
    pid: str
    began: str
    """Unix time, seconds."""


class Process:
    """One process of the deployment, in its own process group."""

    def __init__(
        self, name: str, args: list[str], *, env: dict[str, str], log: Path, cwd: Path
    ) -> None:
        self.name, self.log = name, log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                args,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, text: str, *, timeout_s: float = 60.0) -> None:
        """Wait until the process has logged ``text``."""

        def said() -> bool:
            assert self.alive or text in self.output, f"{self.name} ended:\n{self.output}"
            return text in self.output

        wait_until(said, timeout_s=timeout_s, what=f"{self.name} says {text!r}")

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill -9 the process and its children."""
        if self.alive:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()

    def wait(self, timeout_s: float = 60.0) -> int:
        return self.popen.wait(timeout_s)


class CommandServer:
    """A process that runs many commands of a test, one after the other: see command_server.py."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._log = deployment.folder / "commands.log"
        self._env: dict[str, str] = {}
        self._popen: subprocess.Popen[str] | None = None

    def ask(self, *args: str) -> dict[str, Any]:
        """``code`` and ``out`` of ``celery -A APP ARGS``."""
        env = {**self._deployment.env, **CREDENTIALS}
        if self._popen is None or env != self._env:
            self.end()
            self._env = env
            with self._log.open("ab") as errors:
                self._popen = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        str(HERE / "command_server.py"),
                        self._deployment.app_name,
                    ],
                    env=env,
                    text=True,
                    cwd=self._deployment.folder,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    preexec_fn=die_with_parent,
                )
        assert self._popen.stdin
        assert self._popen.stdout
        print(json.dumps(args), file=self._popen.stdin, flush=True)
        answer = self._popen.stdout.readline()
        assert answer, self.errors
        return json.loads(answer)

    @property
    def errors(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.communicate()
            self._popen = None


class Deployment:
    """Processes against one Valkey and one Step Functions, with a prefix of their own.

    Attributes:
        app_name: The app that commands get with ``-A``.
    """

    app_name = "bridge"

    def __init__(self, folder: Path, *, valkey: LocalValkey, stepfunctions_url: str, **env: str):
        self.folder, self.valkey = folder, valkey
        self.prefix = f"t{uuid.uuid4().hex[:8]}"
        self.seen_file = folder / "seen.log"
        self.processes: list[Process] = []
        self._commands = CommandServer(self)
        ours = ("BRIDGE_", "CELERY_", "AWS_")
        # BRIDGE_OPTIMIZATIONS is kept for the tests of other versions: see tests/guests.
        self.env = {
            k: v for k, v in os.environ.items() if not k.startswith(ours) or k == versions.SWITCH
        }
        self.env |= {
            "AWS_ENDPOINT_URL_SFN": stepfunctions_url,
            "AWS_REGION": REGION,
            "BRIDGE_LEASE_S": "3",
            "BRIDGE_STORE_PREFIX": self.prefix,
            "BRIDGE_TASKS": "jobs",
            "BRIDGE_TICK_S": "0.5",
            "CELERY_BROKER_URL": valkey.url,
            "JOBS_PREFIX": self.prefix,
            "JOBS_SEEN": str(self.seen_file),
            "PYTHONPATH": str(HERE),
            "PYTHONUNBUFFERED": "1",
            **env,
        }
        self.sfn = boto3.client(
            "stepfunctions",
            endpoint_url=stepfunctions_url,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local-secret",
            config=Config(read_timeout=70, retries={"total_max_attempts": 1}),
        )

    # Processes

    def start(self, name: str, *args: str, app: str = "", **env: str) -> Process:
        number = sum(p.name.startswith(name) for p in self.processes)
        process = Process(
            f"{name}{number}",
            [str(CELERY), "-A", app or self.app_name, *args],
            env={**self.env, **env},
            log=self.folder / f"{name}{number}.log",
            cwd=self.folder,
        )
        self.processes.append(process)
        return process

    def poller(self, *args: str, app: str = "", wait: bool = True, **env: str) -> Process:
        process = self.start("poller", "poll", *args, app=app, **{**CREDENTIALS, **env})
        if wait:
            process.says("serves")
        return process

    def worker(
        self, *args: str, concurrency: int = 4, app: str = "", wait: bool = True, **env: str
    ) -> Process:
        name = f"w{len(self.processes)}-{self.prefix}@%h"
        process = self.start(
            "worker",
            "worker",
            "--hostname",
            name,
            "--concurrency",
            str(concurrency),
            "--loglevel",
            "INFO",
            "--without-mingle",
            *args,
            app=app,
            **env,
        )
        if wait:
            process.says("ready.")
        return process

    def beat(self, *args: str, app: str = "", wait: bool = True, **env: str) -> Process:
        process = self.start(
            "beat",
            *BEAT,
            "--hostname",
            f"beat{len(self.processes)}-{self.prefix}@%h",
            "--concurrency",
            "4",
            "--loglevel",
            "INFO",
            "--without-mingle",
            *args,
            app=app,
            **{**CREDENTIALS, **env},
        )
        if wait:
            process.says("ready.")
        return process

    def run(self, *args: str, app: str = "", timeout_s: float = 60, **env: str):
        """Run a command that ends by itself; its CompletedProcess."""
        return subprocess.run(
            [str(CELERY), "-A", app or self.app_name, *args],
            env={**self.env, **CREDENTIALS, **env},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        said = self._commands.ask("status", "--json")["out"]
        assert said, self._commands.errors
        return json.loads(said)

    def stop(self) -> None:
        self._commands.end()
        for process in reversed(self.processes):
            process.kill()
        self.valkey.stop()

    # Step Functions

    def arn(self, kind: str) -> str:
        return f"arn:aws:states:{REGION}:123456789012:activity:{self.prefix}-{kind}"

    def create_activities(self, **env: str) -> None:
        if env:
            done = self.run("activities", "create", **env)
            assert done.returncode == 0, done.stderr
        else:
            assert self._commands.ask("activities", "create")["code"] == 0, self._commands.errors

    def machine(self, definition: dict[str, Any]) -> str:
        made = self.sfn.create_state_machine(
            name=f"{self.prefix}-{uuid.uuid4().hex[:6]}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/states",
        )
        return made["stateMachineArn"]

    def one_state(self, kind: str, **fields: Any) -> str:
        """A state machine of one Task state."""
        fields = {"HeartbeatSeconds": 10, "TimeoutSeconds": 120, **fields}
        task = {"Type": "Task", "Resource": self.arn(kind), "End": True, **fields}
        state = {key: value for key, value in task.items() if value is not None}
        return self.machine({"StartAt": "Work", "States": {"Work": state}})

    def execute(self, machine: str, **event: Any) -> str:
        started = self.sfn.start_execution(stateMachineArn=machine, input=json.dumps(event))
        return started["executionArn"]

    def ended(self, execution: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until the execution has ended; its description."""

        def described():
            found = self.sfn.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        return wait_until(described, timeout_s=timeout_s, what=f"{execution} ends")

    def outcome(self, kind: str, timeout_s: float = 60.0, **event: Any) -> tuple[str, str, str]:
        """Run one execution of a one-state machine; (status, output or error, cause)."""
        execution = self.execute(self.one_state(kind), **event)
        found = self.ended(execution, timeout_s=timeout_s)
        if found["status"] == "SUCCEEDED":
            # The description is not used: moto omits a null there, and the quotes of a string.
            details = self.history(execution)[-1]["executionSucceededEventDetails"]
            return "SUCCEEDED", json.loads(details["output"]), ""
        return found["status"], found.get("error", ""), found.get("cause", "")

    def history(self, execution: str) -> list[dict[str, Any]]:
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def happened(self, execution: str, event_type: str) -> bool:
        return any(event["type"] == event_type for event in self.history(execution))

    # What the jobs saw

    def seen(self, kind: str) -> list[Run]:
        """The runs so far of this kind of job."""
        if not self.seen_file.exists():
            return []
        lines = [line.split() for line in self.seen_file.read_text().splitlines()]
        return [Run(*fields[1:]) for fields in lines if fields[0] == kind]

    @property
    def output(self) -> str:
        return "\n".join(process.output for process in self.processes)
