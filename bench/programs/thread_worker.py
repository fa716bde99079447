"""Run a hand-written activity worker with boto3 and threads; arguments: ``ARN THREADS``.

One thread polls while a thread of the pool is free. A thread of the pool runs the task and reports
it, and each task has another thread for its heartbeats.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config

from bench.job_functions import noop

HEARTBEAT_S = 20.0


def heartbeats(client: Any, token: str, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_S):
        client.send_task_heartbeat(taskToken=token)


def work(client: Any, token: str, text: str, free: threading.Semaphore) -> None:
    ended = threading.Event()
    sender = threading.Thread(target=heartbeats, args=(client, token, ended), daemon=True)
    sender.start()
    try:
        output = noop(json.loads(text))
        client.send_task_success(taskToken=token, output=json.dumps(output))
    except Exception as exc:  # noqa: BLE001 (a task may raise anything)
        client.send_task_failure(taskToken=token, error=type(exc).__name__, cause=str(exc))
    finally:
        ended.set()
        sender.join()
        free.release()


def main(arn: str, threads: int) -> None:
    # As many connections as threads: with boto3's default of ten, threads would keep reconnecting.
    config = Config(read_timeout=70, max_pool_connections=2 * threads + 1)
    client = boto3.client("stepfunctions", config=config)
    pool, free = ThreadPoolExecutor(threads), threading.Semaphore(threads)
    print("polls", flush=True)
    while True:
        free.acquire()
        task = client.get_activity_task(activityArn=arn, workerName="threads")
        if task.get("taskToken"):
            pool.submit(work, client, task["taskToken"], task["input"], free)
        else:
            free.release()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
