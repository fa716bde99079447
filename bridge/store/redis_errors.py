"""Tell which of Redis' errors mean that it is away, full, demoted, or forbids the call.

When a command in a script fails, the error has the command's code at a place that depends on the
server (as measured): "OOM … script: …" (Redis 7, Valkey), "ERR Error running script (…): -OOM …"
(Redis 6.2). redis-py has classes for some codes only, and removes these codes from the text.
"""

from __future__ import annotations

import re
from enum import Enum

from redis import exceptions


class StoreRefusal(Enum):
    """Why Redis refused a call. Each reason is an outage, and the call can be repeated."""

    AWAY = "does not answer"
    FULL = "is full"
    READ_ONLY = "takes no writes"
    FORBIDDEN = "forbids it"


_CODES = {
    "OOM": StoreRefusal.FULL,
    "READONLY": StoreRefusal.READ_ONLY,  # the server is a replica, until a failover is over
    "NOREPLICAS": StoreRefusal.READ_ONLY,
    "MISCONF": StoreRefusal.READ_ONLY,
    "NOPERM": StoreRefusal.FORBIDDEN,
    "UNBLOCKED": StoreRefusal.AWAY,  # a blocking call whose server was demoted
    **dict.fromkeys(
        ("BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"), StoreRefusal.AWAY
    ),
}
_MOVED = re.compile(r"(?:^|: -?)(?:MASTERDOWN|READONLY|UNBLOCKED)\b")
_OTHER_SCHEMA = re.compile(r"\bSCHEMA (\S+)")
_CODE = re.compile(rf"(?:^|: -?)({'|'.join(_CODES)})\b")
# How Redis 7 and Valkey, and Redis 6.2, say that a script called a command that the user may not.
_FORBIDDEN = ("ACL failure in script", "The user executing the script can't")
_CLASSES: tuple[tuple[type[Exception], StoreRefusal], ...] = (
    (exceptions.OutOfMemoryError, StoreRefusal.FULL),
    (exceptions.ReadOnlyError, StoreRefusal.READ_ONLY),
    (exceptions.NoPermissionError, StoreRefusal.FORBIDDEN),
    (exceptions.MasterDownError, StoreRefusal.AWAY),
    (exceptions.ClusterDownError, StoreRefusal.AWAY),
    (exceptions.TryAgainError, StoreRefusal.AWAY),
    (exceptions.AskError, StoreRefusal.AWAY),  # the slot is moving, key by key, to another node
    (exceptions.ConnectionError, StoreRefusal.AWAY),
    (exceptions.TimeoutError, StoreRefusal.AWAY),
    (OSError, StoreRefusal.AWAY),
)


def refusal_of(exc: BaseException) -> StoreRefusal | None:
    """Why Redis refused a call, from redis-py's exception; None: the call itself is wrong."""
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
    """Whether another server may be the primary now, so that one should connect anew, by name."""
    # A node of a cluster that is not a primary any more answers MOVED, which redis-py raises as an
    # AskError. kombu can use a cluster with one shard if global_keyprefix has a hash tag.
    classes = (exceptions.AskError, exceptions.MasterDownError, exceptions.ReadOnlyError)
    return isinstance(exc, classes) or _MOVED.search(str(exc)) is not None


def other_schema(exc: Exception) -> str | None:
    """The schema that a script found instead of its own; None: the error is another one."""
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
"""What a refusal means for the bridge: the end of an error message."""
