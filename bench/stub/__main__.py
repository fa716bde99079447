"""``python -m bench.stub PORT``: print the port that it listens on (0: a free one), and serve."""

from __future__ import annotations

import gc
import random
import resource
import sys

from bench.stub.connection import Connection
from bench.stub.loop import Loop
from bench.stub.tasks import Tasks


def main(port: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # nothing here is cyclic, and a pause would count as a contestant's latency
    random.seed(5)
    loop = Loop(port)
    tasks = Tasks(loop)
    print(loop.port, flush=True)
    loop.run(lambda sock: Connection(tasks, sock))


if __name__ == "__main__":
    main(int(sys.argv[1]))
