"""``python -m bench.stub PORT``: prints the port it listens on (0: a free one), and serves."""

from __future__ import annotations

import gc
import random
import resource
import sys

from bench.stub.loop import Loop
from bench.stub.tasks import Stub
from bench.stub.wire import Connection


def main(port: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # nothing here is cyclic, and a pause would be somebody's latency
    random.seed(5)
    loop = Loop(port)
    stub = Stub(loop)
    print(loop.port, flush=True)
    loop.run(lambda sock: Connection(stub, sock))


if __name__ == "__main__":
    main(int(sys.argv[1]))
