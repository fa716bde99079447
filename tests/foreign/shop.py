"""The worker of the shop, with the bridge or without it, and its own Valkey."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from bridge.local.child_processes import clean_environment
from bridge.local.valkey import LocalValkey
from bridge.model import Claim, claim_id_of
from bridge.settings import Settings
from bridge.store import ClaimStore, StatusReader
from tests.acceptance.deployment import CELERY, Process
from tests.foreign.app import ACTIVITY, QUEUE
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PREFIX = "foreign"
Note = list[str]


def env_of(**env: str) -> dict[str, str]:
    return {
        **clean_environment(),
        "C_FORCE_ROOT": "1",
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
        **env,
    }


def survived_by_celery(messages: Sequence[str]) -> list[str]:
    """Those messages that plain Celery survives, according to celery_survives.py."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.foreign.celery_survives"],
        input="\n".join(messages),
        text=True,
        capture_output=True,
        env=env_of(),
        cwd=ROOT,
        check=True,
    )
    verdicts = done.stdout.split()
    assert len(verdicts) == len(messages), done.stderr
    return [m for m, verdict in zip(messages, verdicts, strict=True) if verdict == "ok"]


def _is_of_job(note: Note) -> bool:
    return note[:2] == ["run", "work"] and note[2].startswith("'job-")


class Shop:
    """A worker of the shop and its broker; a context manager."""

    def __init__(self, folder: Path, *, bridge: bool) -> None:
        self.bridge = bridge
        self._folder = folder / ("with" if bridge else "without")
        self._folder.mkdir()
        self._notes = self._folder / "notes"
        self._server = LocalValkey()
        self.workers: list[Process] = []
        self.jobs: list[str] = []
        self._settings = Settings(store_url=self._server.url, store_prefix=PREFIX)

    def __enter__(self) -> Shop:
        self._server.start()
        self.redis = redis.Redis.from_url(self._server.url, decode_responses=True)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.redis.close()
        self._server.stop()

    def worker(self, *args: str, concurrency: int = 1) -> Process:
        env = env_of(
            SHOP_BROKER=self._server.url,
            SHOP_NOTES=str(self._notes),
            SHOP_BRIDGE="1" if self.bridge else "",
            BRIDGE_STORE_PREFIX=PREFIX,
        )
        number = len(self.workers)
        process = Process(
            f"shop{number}",
            [
                str(CELERY),
                "-A",
                "tests.foreign.app",
                "worker",
                "--pool",
                "threads",
                "--concurrency",
                str(concurrency),
                "--hostname",
                f"shop{number}@%h",
                "-E",
                "--without-mingle",
                "--loglevel",
                "WARNING",
                *args,
            ],
            env=env,
            log=self._folder / f"worker{number}.log",
            cwd=ROOT,
        )
        self.workers.append(process)
        return process

    def push(self, messages: Iterable[str], *, key: str = QUEUE) -> None:
        with self.redis.pipeline() as pipe:  # all at once
            for message in messages:
                pipe.lpush(key, message)
            pipe.execute()

    def end_message(self, name: str) -> str:
        return self.published([("shop.end", name, f"end-{name}")])[0]

    def published(self, tasks: Sequence[tuple[str, object, str | None]]) -> list[str]:
        """The messages that Celery publishes for these tasks: name, argument, id."""
        with Celery("publisher", broker=self._server.url, set_as_current=False) as app:
            for name, argument, task_id in tasks:
                app.send_task(name, (argument,), task_id=task_id, queue="staged")
        messages = self.redis.lrange("staged", 0, -1)[::-1]
        self.redis.delete("staged")
        return [message.replace('"staged"', f'"{QUEUE}"') for message in messages]

    def job_messages(self, count: int) -> list[str]:
        """Messages of jobs whose claims are in the store; the worker must run each once."""
        claims = [
            Claim(claim_id_of(f"token-{n}"), ACTIVITY, json.dumps(f"job-{n}")) for n in range(count)
        ]

        async def store() -> None:
            claim_store = ClaimStore(self._settings)
            try:
                for n, claim in enumerate(claims):
                    await claim_store.store(
                        claim,
                        token=f"token-{n}",
                        queue=QUEUE,
                        interval_s=60,
                        manual=False,
                        max_attempts=1,
                        poller="p",
                    )
            finally:
                await claim_store.close()

        asyncio.run(store())
        self.jobs = [claim.job.id for claim in claims]
        return self.published(
            [("shop.work", f"job-{n}", task_id) for n, task_id in enumerate(self.jobs)]
        )

    def settled(self) -> int:
        """How many outcomes wait to be reported."""
        reader = StatusReader(self._settings)
        try:
            return reader.read([ACTIVITY]).activities[0].outbox
        finally:
            reader.close()

    def wait_for(self, done: Callable[[], Any], what: str, *, timeout_s: float = 60.0) -> None:
        def seen() -> bool:
            assert self.workers[-1].alive, f"the worker ended:\n{self.workers[-1].output[-5000:]}"
            return bool(done())

        wait_until(seen, timeout_s=timeout_s, what=f"{what}: {self._folder.name}")

    def ended(self, name: str) -> bool:
        """Whether the worker has run ``end_message(name)``."""
        return ["run", "end", repr(name)] in self.notes()

    def notes(self) -> list[Note]:
        text = self._notes.read_text() if self._notes.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def jobs_run(self) -> list[str]:
        """The jobs in the order in which they ran, each as often as it ran."""
        return [note[2].strip("'") for note in self.notes() if _is_of_job(note)]

    def outcome(self) -> dict[str, Any]:
        """What the worker did with the messages that are no jobs; equal for both workers."""
        ids = {repr(job) for job in self.jobs}
        notes = [note for note in self.notes() if ids.isdisjoint(note) and not _is_of_job(note)]
        return {
            "loop": [note for note in notes if note[0] == "loop"],
            "runs": Counter(tuple(note) for note in notes if note[0] == "run"),
            "logs": Counter(tuple(note) for note in notes if note[0] == "log"),
            "unacknowledged": sorted(self.redis.hkeys("unacked")),
            "left": self.redis.lrange(QUEUE, 0, -1),
        }
