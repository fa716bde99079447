"""May this version of the bridge use the store? Blocking; asked when a process starts."""

from __future__ import annotations

from bridge.settings import Settings
from bridge.store.scripts import Scripts

TIMEOUT_S = 3.0
"""A store that hangs must not hold up the start of a worker that may serve no activity at all."""


def check_schema(settings: Settings, *, only_look: bool = False) -> None:
    """Compare the store's stamp with the schema of this version.

    A store without a stamp gets one; so does a store of another schema in which nothing is in
    flight, and that no process uses.

    Args:
        only_look: Whether no stamp is written.

    Raises:
        SchemaMismatch: It has another schema.
        StoreUnavailable: Redis does not answer; the scripts that processes call again and again
            look too.
    """
    scripts = Scripts(settings, timeout_s=TIMEOUT_S, tries=0)
    try:
        scripts.call("check_schema", int(only_look))
    finally:
        scripts.redis.close()
