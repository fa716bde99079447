"""Run workers that are written by hand with boto3 and threads."""

from __future__ import annotations

from pathlib import Path

from bench.contestants.base import Contestant
from bench.processes import python
from bench.stub import ARN
from bench.stub_server import StubServer


class Threads(Contestant):
    """One process that runs ``threads`` tasks at once.

    Args:
        loops: Whether every thread polls for itself, instead of one thread for all.
    """

    def __init__(
        self, name: str, stub: StubServer, folder: Path, *, threads: int, loops: bool = False
    ) -> None:
        super().__init__(name, stub, folder)
        self.threads = threads
        self.program = "bench.programs.thread_loops" if loops else "bench.programs.thread_worker"
        self.label = f"threads, {threads}" + (" polling" if loops else "")
        polls = "each polls" if loops else "one more polls"
        self.configuration = f"boto3, {threads} threads, {polls}; a heartbeat thread a task"

    def start(self) -> None:
        self.stub.create(self.activity)
        args = python("-m", self.program, ARN + self.activity, str(self.threads))
        self.launch("worker", args, "polls")
