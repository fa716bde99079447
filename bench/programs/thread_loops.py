"""Run a hand-written activity worker whose threads all poll, run and report; arguments: ``ARN N``.

Each task has another thread for its heartbeats, as in ``thread_worker``.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import boto3
from botocore.config import Config

from bench.programs.thread_worker import work


def loop(client: Any, arn: str) -> None:
    free = threading.Semaphore(0)
    while True:
        task = client.get_activity_task(activityArn=arn, workerName="threads")
        if task.get("taskToken"):
            work(client, task["taskToken"], task["input"], free)


def main(arn: str, threads: int) -> None:
    config = Config(read_timeout=70, max_pool_connections=2 * threads + 1)
    client = boto3.client("stepfunctions", config=config)
    for _ in range(threads - 1):
        threading.Thread(target=loop, args=(client, arn), daemon=True).start()
    print("polls", flush=True)
    loop(client, arn)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
