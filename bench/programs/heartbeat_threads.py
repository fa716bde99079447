"""Send heartbeats with one boto3 client from 16 threads, as many as each line on stdin says."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from bench.stub import token

THREADS = 16

if __name__ == "__main__":
    client = boto3.client("stepfunctions", config=Config(max_pool_connections=THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            tokens = map(token, range(int(line)))
            for _ in pool.map(lambda each: client.send_task_heartbeat(taskToken=each), tokens):
                pass
            print("done", flush=True)
