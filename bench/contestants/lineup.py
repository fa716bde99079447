"""Start the contestants that a measure needs, and keep them running for the next ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from bench.contestants.base import Contestant
from bench.contestants.bridge import Bridge
from bench.contestants.floors import CeleryAlone, RawHttp
from bench.contestants.others import Heaviside, Stefuna
from bench.contestants.threads import Threads
from bench.stub_server import StubServer

THREADS, PREFORK = 64, 4
"""Slots of a worker: the fastest on two cores, of 16 to 128 threads and of 2 to 8 processes."""
FEW_THREADS = 16
"""As many as threads in the hand-written worker that is most common."""

MAKERS: dict[str, Callable[..., Contestant]] = {
    "bridge-threads": partial(Bridge, pool="threads", concurrency=THREADS),
    "bridge-few": partial(Bridge, pool="threads", concurrency=FEW_THREADS),
    "bridge-prefork": partial(Bridge, pool="prefork", concurrency=PREFORK),
    "threads-1": partial(Threads, threads=1),
    "threads-16": partial(Threads, threads=16),
    "threads-100": partial(Threads, threads=100),
    "loops-16": partial(Threads, threads=16, loops=True),
    "loops-100": partial(Threads, threads=100, loops=True),
    "stefuna": Stefuna,
    "heaviside": Heaviside,
    "heaviside-manager": partial(Heaviside, way="manager"),
    "celery-threads": partial(CeleryAlone, pool="threads", concurrency=THREADS),
    "celery-prefork": partial(CeleryAlone, pool="prefork", concurrency=PREFORK),
    "signed-http": RawHttp,
}
"""Name → what makes the contestant of a name, the stub, and the folder for its logs."""


class Lineup:
    """The contestants by name."""

    def __init__(self, stub: StubServer, folder: Path) -> None:
        self._stub, self._folder = stub, folder
        self._started: dict[str, Contestant] = {}

    def get(self, names: Iterable[str]) -> dict[str, Contestant]:
        """These contestants in this order; those that do not run yet are started and warmed up."""
        names = list(names)
        new = []
        for name in names:
            if name not in self._started:
                contestant = MAKERS[name](name, self._stub, self._folder)
                # Before it starts: ``stop`` must end it even if its start fails.
                self._started[name] = contestant
                new.append(contestant)
        for contestant in new:
            contestant.start()
        for contestant in new:
            contestant.ready()
        for contestant in new:
            contestant.batch(contestant.warm_up)
        return {name: self._started[name] for name in names}

    def stop(self) -> None:
        """End all of them."""
        while self._started:
            _, contestant = self._started.popitem()
            contestant.stop()
