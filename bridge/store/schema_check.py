"""Check at the start of a process that this version of the bridge may use the store. Blocking."""

from __future__ import annotations

from bridge.settings import Settings
from bridge.store.scripts import Scripts

TIMEOUT_S = 3.0
"""A store that hangs must not delay the start of a worker, which may serve no activity at all."""


def check_schema(settings: Settings, *, only_look: bool = False) -> None:
    """Compare the store's schema with the schema of this version.

    A store without a schema gets this one, and so does a store of another schema in which nothing
    is in flight and that no worker or poller uses.

    Args:
        only_look: Whether nothing is written.

    Raises:
        SchemaMismatch: The store has another schema.
        StoreUnavailable: Redis does not answer. The scripts that processes call regularly check
            the schema, too.
    """
    scripts = Scripts(settings, timeout_s=TIMEOUT_S, tries=0)
    try:
        scripts.call("check_schema", int(only_look))
    finally:
        scripts.redis.close()
