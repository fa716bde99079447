"""The claims as the store has them, read past the scripts by an observer who sees everything."""

from __future__ import annotations

import json
from typing import NamedTuple

from tests.simulation.store_server import StoreServer

ROOT = "{simulation}"
FIELDS = ("state", "attempt", "worker", "run", "queue", "activity", "retry", "until", "begun")
CLOCK_FIELDS = ("clock", "offset", "slack")
IN_FLIGHT = ("claimed", "queued", "running", "settled")
WAITS = ("claimed", "queued")


class StoredClaim(NamedTuple):
    """A claim's fields; empty where it has none."""

    state: str
    attempt: int
    worker: str
    run: str
    queue: str
    activity: str
    retry: int
    until_ms: int
    begun_ms: int

    @property
    def in_flight(self) -> bool:
        return self.state in IN_FLIGHT


READ_ALL = """
local root, all = KEYS[1], {}
for _, key in ipairs(redis.call('KEYS', root .. ':*')) do
  local kind, name = redis.call('TYPE', key).ok, string.sub(key, #root + 2)
  if kind == 'hash' then
    all[name] = redis.call('HGETALL', key)
  elseif kind == 'zset' then
    all[name] = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then
    all[name] = redis.call('SMEMBERS', key)
  else
    all[name] = {}
  end
end
return cjson.encode(all)
"""


class Contents:
    """All that the store has at one instant."""

    def __init__(self, keys: dict[str, list[str]]) -> None:
        self.keys = keys
        prefix = "claim:"
        self.claims = {
            key.removeprefix(prefix): _claim(self.hash(key))
            for key in sorted(keys)
            if key.startswith(prefix)
        }

    @property
    def in_flight(self) -> dict[str, StoredClaim]:
        return {id_: claim for id_, claim in self.claims.items() if claim.in_flight}

    def store_ms(self, clock_ms: int) -> float:
        """The store's time, while the server's clock shows this one."""
        held = self.hash("held")
        return _store_ms(clock_ms, *(held.get(name) for name in CLOCK_FIELDS))

    def hash(self, name: str) -> dict[str, str]:
        flat = self.keys.get(name) or []
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def zset(self, name: str) -> dict[str, float]:
        return {member: float(score) for member, score in self.hash(name).items()}

    def set(self, name: str) -> set[str]:
        return set(self.keys.get(name) or [])


def _store_ms(clock_ms: int, last: str | None, offset: str | None, slack: str | None) -> float:
    """The store's time stands still while its clock is far from the last note: see _prelude.lua."""
    if last is None:
        return clock_ms
    in_doubt = not float(last) - 1000 <= clock_ms <= float(last) + float(slack or 0)
    return (float(last) if in_doubt else clock_ms) + float(offset or 0)


def _claim(fields: dict[str, str]) -> StoredClaim:
    return StoredClaim(
        state=fields.get("state", ""),
        attempt=int(fields.get("attempt", 0)),
        worker=fields.get("worker", ""),
        run=fields.get("run", ""),
        queue=fields.get("queue", ""),
        activity=fields.get("activity", ""),
        retry=int(fields.get("retry", 0)),
        until_ms=int(float(fields.get("until", 0))),
        begun_ms=int(float(fields.get("begun", 0))),
    )


class StoreView:
    """Reads the store of a simulation."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server

    def claim(self, claim_id: str) -> StoredClaim:
        """One claim; its state is empty if it is unknown."""
        values = self._server.send("HMGET", f"{ROOT}:claim:{claim_id}", *FIELDS)
        found = zip(FIELDS, values, strict=True)
        return _claim({name: value for name, value in found if value is not None})

    def all(self) -> Contents:
        """Everything, in one round trip."""
        return Contents(json.loads(self._server.send("EVAL", READ_ALL, 1, ROOT)))

    def has_lease(self, worker: str, clock_ms: int) -> bool:
        """Whether a worker's lease has not ended, while the server's clock shows this time."""
        ends = self._server.send("ZSCORE", f"{ROOT}:workers", worker)
        noted = self._server.send("HMGET", f"{ROOT}:held", *CLOCK_FIELDS)
        return ends is not None and float(ends) >= _store_ms(clock_ms, *noted)
