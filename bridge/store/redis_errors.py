"""Which of Redis' errors mean that it is away, full, demoted, or forbids the call.

A command that a script calls fails with the same code, in a place that depends on the server (as
measured): "OOM … script: …" (Redis 7, Valkey), "ERR Error running script (…): -OOM …" (Redis 6.2).
redis-py has classes for some codes only, and takes the code off the text of those.
"""

from __future__ import annotations

import re
from enum import Enum

from redis import exceptions


class StoreRefusal(Enum):
    """Why Redis did not do what a script asked; each is an outage, and the call can be repeated."""

    AWAY = "does not answer"
    FULL = "is full"
    READ_ONLY = "takes no writes"
    FORBIDDEN = "forbids it"


_CODES = {
    "OOM": StoreRefusal.FULL,
    "READONLY": StoreRefusal.READ_ONLY,  # a replica, until the failover is through
    "NOREPLICAS": StoreRefusal.READ_ONLY,
    "MISCONF": StoreRefusal.READ_ONLY,
    "NOPERM": StoreRefusal.FORBIDDEN,
    # Of a blocked call, when its server is demoted.
    "UNBLOCKED": StoreRefusal.AWAY,
    **dict.fromkeys(
        ("BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"), StoreRefusal.AWAY
    ),
}
_MOVED = re.compile(r"(?:^|: -?)(?:MASTERDOWN|READONLY|UNBLOCKED)\b")
_OTHER_SCHEMA = re.compile(r"\bSCHEMA (\S+)")
_CODE = re.compile(rf"(?:^|: -?)({'|'.join(_CODES)})\b")
# What Redis 7 and Valkey, and Redis 6.2, say of a script that the user may not run to its end.
_FORBIDDEN = ("ACL failure in script", "The user executing the script can't")
_CLASSES: tuple[tuple[type[Exception], StoreRefusal], ...] = (
    (exceptions.OutOfMemoryError, StoreRefusal.FULL),
    (exceptions.ReadOnlyError, StoreRefusal.READ_ONLY),
    (exceptions.NoPermissionError, StoreRefusal.FORBIDDEN),
    (exceptions.MasterDownError, StoreRefusal.AWAY),
    (exceptions.ClusterDownError, StoreRefusal.AWAY),
    (exceptions.TryAgainError, StoreRefusal.AWAY),
    (exceptions.AskError, StoreRefusal.AWAY),  # its slot moves, key by key, to another node
    (exceptions.ConnectionError, StoreRefusal.AWAY),
    (exceptions.TimeoutError, StoreRefusal.AWAY),
    (OSError, StoreRefusal.AWAY),
)


def refusal_of(exc: BaseException) -> StoreRefusal | None:
    """What an exception of redis-py means; None: the fault is the script's, or the caller's."""
    for kind, refusal in _CLASSES:
        if isinstance(exc, kind):
            return refusal
    if not isinstance(exc, exceptions.ResponseError):
        return None
    said = str(exc)
    if found := _CODE.search(said):
        return _CODES[found[1]]
    return StoreRefusal.FORBIDDEN if any(words in said for words in _FORBIDDEN) else None


def has_moved(exc: Exception) -> bool:
    """Whether another server may be the primary now: connect anew, by name."""
    # A node of a cluster that is no primary any more answers MOVED, to redis-py an AskError. kombu
    # can use a cluster of one shard, where global_keyprefix has a hash tag.
    classes = (exceptions.AskError, exceptions.MasterDownError, exceptions.ReadOnlyError)
    return isinstance(exc, classes) or _MOVED.search(str(exc)) is not None


def other_schema(exc: Exception) -> str | None:
    """The schema that a script of ours has found instead of its own; None: it failed otherwise."""
    if isinstance(exc, exceptions.ResponseError) and (found := _OTHER_SCHEMA.search(str(exc))):
        return found[1]
    return None


WHAT_FOLLOWS = {
    StoreRefusal.AWAY: "nothing can be claimed or reported until it is back.",
    StoreRefusal.FULL: (
        "nothing is claimed until it has memory again; what is in flight goes on. "
        "Give it more memory (maxmemory)."
    ),
    StoreRefusal.READ_ONLY: "nothing can be claimed or reported until it takes them again.",
    StoreRefusal.FORBIDDEN: (
        "its user lacks a right that the bridge needs. Allow it (ACL SETUSER); "
        "the call is tried again until then."
    ),
}
"""What a refusal means for the bridge, as the end of an error's sentence."""
