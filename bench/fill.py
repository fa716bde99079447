"""Put many claims into a store at once, by the store's own scripts.

The store's methods are called once, for one claim in a database of its own, and what they send is
recorded: scripts and arguments. One Lua script, with the recorded ones as functions, then repeats
that for hundreds of claims a call. So the claims are what the bridge itself would have made,
whatever its scripts look like, at a million in a minute or two.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any
from unittest import mock

import redis
import redis.asyncio

from bench.stub import TOKEN_BYTES, token
from bridge.model import Claim, Job
from bridge.settings import Settings
from bridge.store import ClaimStore, DueHeartbeat, JobStore

LEASE_S = 300.0
"""Of workers that exist in the store only; longer than any measure."""
BATCH = 250
INPUT = '{"n": "000000000000"}'
_ID, _TOKEN = "@id", token(0)
_SCRATCH_DB = "1"
_Call = tuple[str, list[str]]
"""A script's digest, and its arguments."""

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
    """Settings of a store, whatever the environment says."""
    return Settings(store_url=url, store_prefix=prefix, lease_s=LEASE_S, **more)


class Recorder:
    """What redis-py sends meanwhile: scripts by digest, and calls of them."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.calls: list[_Call] = []

    @contextmanager
    def on(self) -> Iterator[Recorder]:
        """Record, in both of redis-py's clients."""
        with (
            mock.patch.multiple(
                redis.Redis, execute_command=self._heard(redis.Redis.execute_command)
            ),
            mock.patch.multiple(
                redis.asyncio.Redis,
                execute_command=self._heard(redis.asyncio.Redis.execute_command),
            ),
        ):
            yield self

    def _heard(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        def recording(client: Any, *args: Any, **options: Any) -> Any:
            name = str(args[0]).upper()
            if name in ("EVAL", "SCRIPT LOAD"):
                text = str(args[1])
                self.texts[hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()] = text
            elif name == "EVALSHA":
                self.calls.append((str(args[1]), [str(arg) for arg in args[4:]]))
            return execute(client, *args, **options)

        return recording


class Filler:
    """Fills one store.

    What is recorded makes the server forget its scripts: fill before anything is measured.

    Args:
        interval_s: Between heartbeats of each claim; long, so that none is due.
    """

    def __init__(self, settings: Settings, *, interval_s: float = 3_600.0) -> None:
        self._settings = settings
        self._interval_s = interval_s
        self._texts: dict[str, str] = {}
        self._hastes: dict[float, list[_Call]] = {}
        self.redis = redis.Redis.from_url(settings.store_url)
        self.count = 0

    def announce(self, workers: int, *, slots: int = 1_000_000, queue: str = "celery") -> None:
        """Workers with leases, that nobody renews."""
        jobs = JobStore(self._settings)
        for number in range(workers):
            jobs.renew_lease(f"worker-{number}", number=1, slots=slots, queues=[queue])
        jobs.close()

    def fill(
        self, count: int, *, activities: list[str], workers: int = 1, running: bool = True
    ) -> list[str]:
        """Store so many more claims; their ids.

        Args:
            workers: How many workers run them, in equal parts.
            running: Whether their jobs have started; else they wait in the queue.
        """
        ids = [f"{number:024x}" for number in range(self.count, self.count + count)]
        self.count += count
        ways: dict[tuple[int, int], list[_Call]] = {}
        for turn, start in enumerate(range(0, count, BATCH)):
            way = turn % len(activities), turn % workers
            if way not in ways:
                ways[way] = self._way(activities[way[0]], f"worker-{way[1]}", running=running)
            self._repeat(ways[way], ids[start : start + BATCH])
        return ids

    def make_due(self, ids: list[str], delay_s: float = 0.0) -> None:
        """Let the heartbeats of these claims be due after the delay; the first time records."""
        if delay_s not in self._hastes:
            known: dict[str, Any] = {
                "claim_id": _ID,
                "interval_s": self._interval_s,
                "missed_ms": 0,
            }
            names = [field.name for field in fields(DueHeartbeat)]
            beat = DueHeartbeat(**{name: known.get(name, "") for name in names})
            self._hastes[delay_s] = self._recorded(
                lambda store: store.retry_heartbeat(beat, delay_s)
            )
        calls = self._hastes[delay_s]
        for start in range(0, len(ids), BATCH):
            self._repeat(calls, ids[start : start + BATCH])

    def used_bytes(self) -> int:
        """Memory of the server's data. Source: INFO memory, used_memory."""
        return int(self.redis.info("memory")["used_memory"])

    def cpu_s(self) -> float:
        """CPU of the server so far, to the microsecond. Source: INFO cpu."""
        info = self.redis.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    def close(self) -> None:
        self.redis.close()

    def _way(self, activity: str, worker: str, *, running: bool) -> list[_Call]:
        """What a claim's way until its job waits, or runs, sends to the store."""

        async def come(store: ClaimStore) -> None:
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

        def begin(jobs: JobStore) -> None:
            jobs.start(Job(_ID, 1), retry=0, worker=worker, run="a1B2c3D4e5F6")

        return self._recorded(come, begin if running else None, worker=worker)

    def _recorded(
        self,
        asks: Callable[[ClaimStore], Awaitable[Any]],
        then: Callable[[JobStore], None] | None = None,
        *,
        worker: str = "",
    ) -> list[_Call]:
        """What these send, to a database of its own."""
        url = self._settings.store_url.rpartition("/")[0] + f"/{_SCRATCH_DB}"
        settings = self._settings.model_copy(update={"store_url": url})
        jobs, recorder = JobStore(settings), Recorder()
        if worker:  # before the record begins: it starts no job without a lease
            jobs.renew_lease(worker, number=1, slots=1, queues=["celery"])
        self.redis.script_flush()  # what the server does not know is sent with its text

        async def ask() -> None:
            store = ClaimStore(settings)
            await asks(store)
            await store.close()

        with recorder.on():
            asyncio.run(ask())
            if then is not None:
                then(jobs)
        jobs.close()
        self._texts |= recorder.texts
        with redis.Redis.from_url(url) as scratch:
            scratch.flushdb()
        return [(sha, [_marked(arg) for arg in args]) for sha, args in recorder.calls]

    def _repeat(self, calls: list[_Call], ids: list[str]) -> None:
        shas = sorted({sha for sha, _ in calls})
        script = self.redis.register_script(_combined(tuple(self._texts[sha] for sha in shas)))
        rows = [[shas.index(sha) + 1, *args] for sha, args in calls]
        script([self._settings.root_key], [json.dumps(rows), *ids])


def _marked(arg: str) -> str:
    return "@token" if arg == _TOKEN else arg


def _combined(texts: tuple[str, ...]) -> str:
    """One script with each of these as a function of its keys and arguments."""
    functions = "\n".join(
        f"scripts[{number}] = function(KEYS, ARGV)\n{text}\nend"
        for number, text in enumerate(texts, 1)
    )
    # The tokens are of the stub's length: their last digits are the claim's.
    return f"local scripts = {{}}\n{functions}\n{_REPEAT % (TOKEN_BYTES - len('0' * 24))}"
