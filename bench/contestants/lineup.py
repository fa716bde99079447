"""The contestants of a run: started when first asked for, together, and kept for all measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.contestants.base import Contestant
from bench.contestants.bridge import Bridge
from bench.contestants.floors import CeleryAlone, RawHttp
from bench.contestants.others import Heaviside, Stefuna
from bench.contestants.threads import Threads
from bench.stub_server import StubServer

THREADS, PREFORK = 64, 4
"""Slots of a worker: what was fastest on two cores, of 16 to 128 threads, of 2 to 8 processes."""
FEW_THREADS = 16
"""As many as the thread worker has that people write most."""

MAKERS: dict[str, Callable[[str, StubServer, Path], Contestant]] = {
    "bridge-threads": lambda n, s, f: Bridge(n, s, f, pool="threads", concurrency=THREADS),
    "bridge-few": lambda n, s, f: Bridge(n, s, f, pool="threads", concurrency=FEW_THREADS),
    "bridge-prefork": lambda n, s, f: Bridge(n, s, f, pool="prefork", concurrency=PREFORK),
    "threads-1": lambda n, s, f: Threads(n, s, f, threads=1),
    "threads-16": lambda n, s, f: Threads(n, s, f, threads=16),
    "threads-100": lambda n, s, f: Threads(n, s, f, threads=100),
    "loops-16": lambda n, s, f: Threads(n, s, f, threads=16, loops=True),
    "loops-100": lambda n, s, f: Threads(n, s, f, threads=100, loops=True),
    "stefuna": Stefuna,
    "heaviside": Heaviside,
    "heaviside-manager": lambda n, s, f: Heaviside(n, s, f, way="manager"),
    "celery-threads": lambda n, s, f: CeleryAlone(n, s, f, pool="threads", concurrency=THREADS),
    "celery-prefork": lambda n, s, f: CeleryAlone(n, s, f, pool="prefork", concurrency=PREFORK),
    "signed-http": RawHttp,
}


class Lineup:
    """Contestants by name."""

    def __init__(self, stub: StubServer, folder: Path) -> None:
        self._stub, self._folder = stub, folder
        self._started: dict[str, Contestant] = {}

    def get(self, names: Iterable[str]) -> dict[str, Contestant]:
        """These contestants, started and warm, in this order."""
        wanted = list(names)
        new = []
        for name in wanted:
            if name not in self._started:
                contestant = MAKERS[name](name, self._stub, self._folder)
                self._started[name] = contestant  # before it starts: it is stopped in any case
                new.append(contestant)
        for contestant in new:
            contestant.start()
        for contestant in new:
            contestant.ready()
        for contestant in new:
            contestant.batch(contestant.warm_up)
        return {name: self._started[name] for name in wanted}

    def stop(self) -> None:
        """End all of them."""
        while self._started:
            _, contestant = self._started.popitem()
            contestant.stop()
