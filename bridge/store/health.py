"""Read the signs of life that a health check needs: a few reads, never repeated. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings import Settings
from bridge.store.connection import connect
from bridge.store.schema import SCHEMA, mismatch
from bridge.store.translation import translated

PASSES = ("heartbeat", "recovery")


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs of life in the store, by its own clock.

    Attributes:
        workers: Worker → seconds until its lease ends; negative: it has ended.
        pollers: Poller → seconds until its lease ends; negative: it has ended.
        passes: Kind of pass ("heartbeat", "recovery") → seconds since the last one began.
    """

    workers: dict[str, float]
    pollers: dict[str, float]
    passes: dict[str, float]


def read_signs(settings: Settings, *, timeout_s: float) -> Signs:
    """Read all signs of life.

    Args:
        timeout_s: For connecting, and again for the answer.

    Raises:
        SchemaMismatch: Another version of the bridge uses the store.
        StoreUnavailable: Redis does not answer.
    """
    root = settings.root_key
    client = connect(settings, timeout_s=timeout_s, tries=0)
    try:
        with translated(settings), client.pipeline(transaction=False) as pipeline:
            pipeline.get(root)
            pipeline.time()
            pipeline.zrange(f"{root}:workers", 0, -1, withscores=True)
            pipeline.zrange(f"{root}:pollers", 0, -1, withscores=True)
            pipeline.hmget(f"{root}:passes", PASSES)  # it holds more than passes
            pipeline.hget(f"{root}:held", "offset")
            schema, (seconds, microseconds), workers, pollers, passes, offset_ms = (
                pipeline.execute()
            )
    finally:
        client.close()
    if schema not in (None, str(SCHEMA)):
        raise mismatch(settings, schema)
    # The store's clock: see _prelude.lua.
    now_s = seconds + microseconds / 1e6 + int(offset_ms or 0) / 1000
    return Signs(
        {worker: ends_ms / 1000 - now_s for worker, ends_ms in workers},
        {poller: ends_ms / 1000 - now_s for poller, ends_ms in pollers},
        {
            kind: now_s - float(began_ms) / 1000
            for kind, began_ms in zip(PASSES, passes, strict=True)
            if began_ms is not None
        },
    )
