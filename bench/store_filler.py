"""Put many claims into a store at once, by the store's own scripts.

The filler calls the store's methods once, for one claim in a database of its own, and records the
scripts and arguments that they send. One Lua script contains the recorded scripts as functions, and
repeats the calls for hundreds of claims. So the claims are those that the bridge itself would have
made, whatever its scripts look like; a million take a minute or two.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple
from unittest import mock

import redis
import redis.asyncio

from bench.stub import TOKEN_BYTES, token
from bridge.model import Claim, Job
from bridge.settings import Settings
from bridge.store import ClaimStore, DueHeartbeat, JobStore

LEASE_S = 300.0
"""Lease of workers that exist in the store only; longer than any measure."""
BATCH = 250
INPUT = '{"n": "000000000000"}'
_ID, _TOKEN = "@id", token(0)
_SCRATCH_DB = "1"

# KEYS[1] root; ARGV: the calls as JSON, [[index of script, argument, …], …], then the claims.
_REPEAT = """
local calls, padding = cjson.decode(ARGV[1]), string.rep('T', %d)
for c = 2, #ARGV do
  for _, call in ipairs(calls) do
    local args = {}
    for i = 2, #call do
      args[i - 1] = call[i] == '@token' and padding .. ARGV[c]
        or string.gsub(call[i], '@id', ARGV[c])
    end
    scripts[call[1]](KEYS, args)
  end
end
return #ARGV - 1
"""


def settings_of(url: str, prefix: str, **more: Any) -> Settings:
    """Settings of this store; the environment does not change its address and prefix."""
    return Settings(store_url=url, store_prefix=prefix, lease_s=LEASE_S, **more)


class _Call(NamedTuple):
    """A call of a script, as the client sent it."""

    digest: str
    args: list[str]


class Recorder:
    """Records what redis-py sends: the texts of scripts by digest, and the calls of scripts."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.calls: list[_Call] = []

    @contextmanager
    def on(self) -> Iterator[Recorder]:
        """Record what both of redis-py's clients send."""
        with (
            mock.patch.multiple(
                redis.Redis, execute_command=self._recording(redis.Redis.execute_command)
            ),
            mock.patch.multiple(
                redis.asyncio.Redis,
                execute_command=self._recording(redis.asyncio.Redis.execute_command),
            ),
        ):
            yield self

    def _recording(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def recording(client: Any, *args: Any, **options: Any) -> Any:
            name = str(args[0]).upper()
            if name in ("EVAL", "SCRIPT LOAD"):
                text = str(args[1])
                self.texts[hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()] = text
            elif name == "EVALSHA":
                self.calls.append(_Call(str(args[1]), [str(arg) for arg in args[4:]]))
            return execute(client, *args, **options)

        return recording


class Filler:
    """Fills one store.

    Recording makes the server forget its scripts, so fill the store before anything is measured.

    Args:
        interval_s: Heartbeat interval of each claim; so long that none is due.
    """

    def __init__(self, settings: Settings, *, interval_s: float = 3_600.0) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._texts: dict[str, str] = {}
        self._recorded_dues: dict[float, list[_Call]] = {}
        self.redis = redis.Redis.from_url(settings.store_url)
        self.count = 0

    def announce(self, workers: int, *, slots: int = 1_000_000, queue: str = "celery") -> None:
        """Add workers whose leases are not renewed."""
        jobs = JobStore(self._settings)
        for number in range(workers):
            jobs.renew_lease(f"worker-{number}", number=1, slots=slots, queues=[queue])
        jobs.close()

    def fill(
        self, count: int, *, activities: list[str], workers: int = 1, running: bool = True
    ) -> list[str]:
        """Store ``count`` more claims; their ids.

        Args:
            workers: How many workers run them, in equal parts.
            running: Whether their jobs have started; otherwise they wait in the queue.
        """
        ids = [f"{number:024x}" for number in range(self.count, self.count + count)]
        self.count += count
        recorded: dict[tuple[str, str], list[_Call]] = {}
        for turn, start in enumerate(range(0, count, BATCH)):
            activity, worker = activities[turn % len(activities)], f"worker-{turn % workers}"
            if (activity, worker) not in recorded:
                calls = self._calls_of_a_claim(activity, worker, running=running)
                recorded[activity, worker] = calls
            self._repeat(recorded[activity, worker], ids[start : start + BATCH])
        return ids

    def make_due(self, ids: list[str], delay_s: float = 0.0) -> None:
        """Let the heartbeats of these claims be due after ``delay_s``; its first use records."""
        if delay_s not in self._recorded_dues:
            known: dict[str, Any] = {
                "claim_id": _ID,
                "interval_s": self._interval_s,
                "missed_ms": 0,
            }
            names = [field.name for field in fields(DueHeartbeat)]
            due = DueHeartbeat(**{name: known.get(name, "") for name in names})
            self._recorded_dues[delay_s] = self._recorded(
                lambda store: store.retry_heartbeat(due, delay_s)
            )
        calls = self._recorded_dues[delay_s]
        for start in range(0, len(ids), BATCH):
            self._repeat(calls, ids[start : start + BATCH])

    def used_bytes(self) -> int:
        """Memory that the server uses. Source: INFO memory, used_memory."""
        return int(self.redis.info("memory")["used_memory"])

    def cpu_s(self) -> float:
        """CPU of the server so far, to the microsecond. Source: INFO cpu."""
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def close(self) -> None:
        self.redis.close()

    def _calls_of_a_claim(self, activity: str, worker: str, *, running: bool) -> list[_Call]:
        """The calls of scripts that bring a claim from its start until its job waits, or runs."""

        async def store_and_queue(store: ClaimStore) -> None:
            await store.store(
                Claim(_ID, activity, INPUT),
                token=_TOKEN,
                queue="celery",
                interval_s=self._interval_s,
                manual=False,
                max_attempts=1,
                poller="bench",
            )
            await store.mark_queued(Job(_ID, 1))

        def start(jobs: JobStore) -> None:
            jobs.start(Job(_ID, 1), retry=0, worker=worker, run="a1B2c3D4e5F6")

        return self._recorded(store_and_queue, start if running else None, worker=worker)

    def _recorded(
        self,
        use_claims: Callable[[ClaimStore], Awaitable[Any]],
        use_jobs: Callable[[JobStore], None] | None = None,
        *,
        worker: str = "",
    ) -> list[_Call]:
        """The calls of scripts that these functions make, in a database of its own."""
        url = self._settings.store_url.rpartition("/")[0] + f"/{_SCRATCH_DB}"
        settings = self._settings.model_copy(update={"store_url": url})
        jobs, recorder = JobStore(settings), Recorder()
        if worker:  # not recorded: a job starts only on a worker with a lease
            jobs.renew_lease(worker, number=1, slots=1, queues=["celery"])
        self.redis.script_flush()  # the client sends the text of a script that the server lacks

        async def use_claim_store() -> None:
            store = ClaimStore(settings)
            await use_claims(store)
            await store.close()

        with recorder.on():
            asyncio.run(use_claim_store())
            if use_jobs is not None:
                use_jobs(jobs)
        jobs.close()
        self._texts |= recorder.texts
        with redis.Redis.from_url(url) as scratch:
            scratch.flushdb()
        return [call._replace(args=[_marked(arg) for arg in call.args]) for call in recorder.calls]

    def _repeat(self, calls: list[_Call], ids: list[str]) -> None:
        """Make these calls for each claim."""
        digests = sorted({call.digest for call in calls})
        texts = [self._texts[digest] for digest in digests]
        script = self.redis.register_script(_combined(texts))
        rows = [[digests.index(call.digest) + 1, *call.args] for call in calls]
        script([self._settings.root_key], [json.dumps(rows), *ids])


def _marked(arg: str) -> str:
    """The argument, or what stands for it in ``_REPEAT``."""
    return "@token" if arg == _TOKEN else arg


def _combined(texts: list[str]) -> str:
    """``_REPEAT`` after a function for each of these scripts, of its keys and arguments."""
    functions = "\n".join(
        f"scripts[{number}] = function(KEYS, ARGV)\n{text}\nend"
        for number, text in enumerate(texts, 1)
    )
    # Tokens are as long as the stub's; they end with the claim's id.
    return f"local scripts = {{}}\n{functions}\n{_REPEAT % (TOKEN_BYTES - len('0' * 24))}"
