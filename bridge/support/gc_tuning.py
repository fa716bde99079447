"""Python's garbage collector, in processes that hold many calls open at once."""

from __future__ import annotations

import gc


def spare_collections() -> None:
    """Let the collector look only at what is made from now on, and seldom at all of that.

    Modules, classes and tables of start-up are some 300,000 objects that live as long as the
    process, and an open call is a few dozen that live until its answer: to look through them
    again and again was a third of the CPU of a poller with many open polls, and a fifth of a pass
    of heartbeats.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
