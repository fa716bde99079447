"""What each of Celery's pools can do, as a table.

How many slots a pool has now is read from the pool itself (``occupancy.py``). How a pool of
greenlets ends a job is one of the endings (``endings.py``).

A pool that is not in the table, such as an app's own, counts as one that can do nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from billiard.process import current_process


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One kind of pool.

    Attributes:
        name: The module of ``celery.concurrency`` that has it; ``--pool threads`` is ``"thread"``.
        forks: Whether jobs run in child processes.
        has_threads: Whether jobs run in threads of the worker's process.
        blocks_loop: Whether a job runs in the worker's loop, which does nothing else meanwhile.
        has_soft_limit: Whether Celery applies ``soft_time_limit``. It ignores the option elsewhere.
        has_hard_limit: Whether Celery applies ``time_limit``. It ignores the option elsewhere.
        can_terminate: Whether a running job can be terminated from outside.
    """

    name: str
    forks: bool = False
    has_threads: bool = False
    blocks_loop: bool = False
    has_soft_limit: bool = False
    has_hard_limit: bool = False
    can_terminate: bool = False


POOLS = (
    Pool(name="prefork", forks=True, has_soft_limit=True, has_hard_limit=True, can_terminate=True),
    Pool(name="thread", has_threads=True),
    Pool(name="gevent", has_hard_limit=True, can_terminate=True),
    Pool(name="eventlet", can_terminate=True),
    Pool(name="solo", blocks_loop=True),
)
_POOLS = {pool.name: pool for pool in POOLS}


def pool_of(worker: Any) -> Pool:
    """The pool of a Celery ``WorkController``, before and after it has started."""
    return pool_of_class(worker.pool_cls)


def pool_of_class(cls: Any) -> Pool:
    """The pool that a ``TaskPool`` class of Celery's is."""
    name = str(getattr(cls, "__module__", "")).rpartition(".")[2]
    return _POOLS.get(name) or Pool(name=name)


def in_pool_process() -> bool:
    """Whether this is a child process of a prefork pool."""
    return bool(current_process().name != "MainProcess")
