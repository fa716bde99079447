"""Scripts of the store on a clock that the test moves: a key in place of Redis' TIME."""

from __future__ import annotations

import hashlib
from functools import cache

import redis

from bridge.store import scripts

REAL_CLOCK = """  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
"""
FALSE_CLOCK = "  return tonumber(redis.call('GET', key('clock')))\n"
REAL_SCRIPT = scripts.script


@cache
def on_a_false_clock(name: str) -> scripts.Script:
    """What ``bridge.store.scripts.script`` gives, its one clock replaced by a key."""
    text = REAL_SCRIPT(name).text
    assert text.count(REAL_CLOCK) == 1, "the clock stands in one place"
    assert text.count("'TIME'") == 1
    text = text.replace(REAL_CLOCK, FALSE_CLOCK)
    return scripts.Script(text, hashlib.sha1(text.encode()).hexdigest())


def set_clock(client: redis.Redis, root_key: str, now_ms: int) -> None:
    """Move the clock of the scripts to ``now_ms``."""
    client.set(f"{root_key}:clock", now_ms)
