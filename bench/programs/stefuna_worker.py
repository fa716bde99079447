"""Run a stefuna server; arguments: ``ARN PROCESSES``. It needs the virtualenv of ``others``.

It runs as by stefuna's own command, but without the HTTP server for health checks, and with workers
that are forked instead of spawned, which only changes the start. ``maxtasksperchild`` keeps its
default of 100.
"""

from __future__ import annotations

import sys

from stefuna import Server, Worker  # type: ignore[import-not-found]

from bench.job_functions import noop


class Noop(Worker):  # type: ignore[misc]
    def run_task(self, task_token: str, input_data: dict[str, str]) -> dict[str, float]:
        return noop(input_data)


if __name__ == "__main__":
    Server.worker_class = Noop
    server = Server(activity_arn=sys.argv[1], processes=int(sys.argv[2]), heartbeat=20)
    print("polls", flush=True)
    server.run()
