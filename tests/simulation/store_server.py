"""The claim store of the simulation: real scripts on a real Valkey, on the simulation's clock.

Each command runs at one instant of virtual time, on one blocking connection. Lua that is put before
every script replaces what depends on the server itself: TIME, the expiry of keys, and its run id.
"""

from __future__ import annotations

import hashlib
import socket
from functools import cache
from typing import Any

import hiredis
import redis

from bridge.store import scripts

REAL_SCRIPT = scripts.script

OWN_CLOCK = """
local server = redis
local simulated_now, simulated_server = tonumber(KEYS[#KEYS - 1]), KEYS[#KEYS]
local expiries = KEYS[1] .. ':simulated-expiries'
local redis = setmetatable({}, {__index = server})
local function expire_at(key, at)
  server.call('ZADD', expiries, at, key)
end
function redis.call(command, ...)
  if command == 'TIME' then
    return {math.floor(simulated_now / 1000), simulated_now % 1000 * 1000}
  end
  local key, value, option, time = ...
  if command == 'EXPIRE' then
    expire_at(key, simulated_now + value * 1000)
    return 1
  end
  if command == 'SET' then
    server.call('ZREM', expiries, key)
    if option == 'PX' then
      expire_at(key, simulated_now + time)
      return server.call(command, key, value)
    end
  end
  return server.call(command, ...)
end
function redis.pcall(command, ...)
  if command == 'INFO' then
    return 'run_id:' .. simulated_server
  end
  return server.pcall(command, ...)
end
for _, key in ipairs(server.call('ZRANGEBYSCORE', expiries, '-inf', simulated_now)) do
  server.call('DEL', key)
  server.call('ZREM', expiries, key)
end
"""
SNAPSHOT = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('COPY', key, key, 'DB', 1)
end
"""


@cache
def script(name: str) -> scripts.Script:
    """What ``bridge.store.scripts.script`` returns, on the simulation's clock."""
    text = OWN_CLOCK + REAL_SCRIPT(name).text
    made = scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())
    _names[made.sha] = name
    return made


_names: dict[str, str] = {}


class StoreServer:
    """One connection to a Valkey that only this simulation uses.

    Attributes:
        jumped_ms: How far the server's clock is from virtual time.
        boots: How often another server has taken over.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader(encoding="utf-8", replyError=redis.ResponseError)
        self.reset()

    def reset(self) -> None:
        """Begin anew: no data, no scripts, and a clock that has never jumped."""
        self.jumped_ms = 0
        self.boots = 0
        self.send("FLUSHALL")
        self.send("SCRIPT", "FLUSH")

    def send(self, *command: Any) -> Any:
        """The answer of a command; a refusal is raised."""
        self._socket.sendall(hiredis.pack_command(command))
        while (answer := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 16))
        if isinstance(answer, redis.ResponseError):
            if str(answer).startswith("NOSCRIPT"):
                raise redis.exceptions.NoScriptError(str(answer))
            raise answer
        return answer

    def clock_ms(self, now_s: float) -> int:
        """What the server's clock shows at this instant of virtual time."""
        return 1_000_000_000_000 + round(now_s * 1000) + self.jumped_ms

    def run(self, command: tuple[Any, ...], now_s: float) -> Any:
        """Run EVALSHA or EVAL at this instant, or any other command."""
        if command[0] not in ("EVALSHA", "EVAL"):
            return self.send(*command)
        name, source, count, *rest = command
        keys = (*rest[:count], str(self.clock_ms(now_s)), f"server{self.boots}")
        return self.send(name, source, count + 2, *keys, *rest[count:])

    def snapshot(self) -> None:
        """Remember all data."""
        self.send("SELECT", 1)
        self.send("FLUSHDB")
        self.send("SELECT", 0)
        self.send("EVAL", SNAPSHOT, 0)

    def restore(self) -> None:
        """Another server takes over, which has the data of the snapshot and no scripts."""
        self.send("SWAPDB", 0, 1)
        self.send("SCRIPT", "FLUSH")
        self.boots += 1


def name_of(command: tuple[Any, ...]) -> str:
    """The script that a command runs; empty: it runs none."""
    if command[0] == "EVALSHA":
        return _names[command[1]]
    if command[0] == "EVAL":
        return _names[hashlib.sha1(command[1].encode()).hexdigest()]
    return ""
