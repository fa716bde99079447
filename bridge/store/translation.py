"""Turn redis-py's errors into the bridge's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.addresses.store_url import parse
from bridge.errors import StoreUnavailable
from bridge.settings import Settings
from bridge.store.redis_errors import WHAT_FOLLOWS, StoreRefusal, other_schema, refusal_of
from bridge.store.schema import mismatch
from bridge.support.masking import mask_url, scrub


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn redis-py's errors of an absent or refusing server into ``StoreUnavailable``.

    The error of a script that finds another schema becomes a ``SchemaMismatch``.
    """
    try:
        yield
    except Exception as exc:
        if found := other_schema(exc):
            raise mismatch(settings, found) from None
        refusal = refusal_of(exc)
        if refusal is None:
            raise  # one of the bridge's scripts is wrong
        said = scrub(str(exc), parse(settings.store_url).secrets)
        if refusal is StoreRefusal.FORBIDDEN and "access a key" in said:
            # Redis does not say which key.
            said = f"{said.rstrip('.')}; the bridge's keys are ~{settings.root_key}*"
        raise StoreUnavailable(
            f"the claim store {mask_url(settings.store_url)} {refusal.value} "
            f"({type(exc).__name__}: {said.rstrip('.')}): {WHAT_FOLLOWS[refusal]}"
        ) from exc
