"""The schema of the store: the number of its layout of keys."""

from __future__ import annotations

from bridge.errors import SchemaMismatch
from bridge.settings import Settings
from bridge.support.masking import mask_url

SCHEMA = 2
"""The layout of keys that the scripts read and write. Raise it with each change that processes of
the version before would misread. ``lua/_prelude.lua`` says what never changes."""


def mismatch(settings: Settings, found: str) -> SchemaMismatch:
    """The error for a store that has another schema than ``SCHEMA``."""
    return SchemaMismatch(
        f"the claim store {mask_url(settings.store_url)} (BRIDGE_STORE_PREFIX="
        f"{settings.store_prefix}) has schema {found}, and this version of the bridge needs schema "
        f"{SCHEMA}: it would misread the claims. Drain the store with the version that wrote it: "
        "stop its pollers, wait until its `status` shows nothing in flight, stop its workers; then "
        "start this version. Or set another BRIDGE_STORE_PREFIX."
    )
