"""Processes of the bench: what they use, and that they end with it."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.processes import Process, environment, python, weigh
from tests.waiting import wait_until

BURN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass\n"


def test_weight_includes_children_that_live_and_that_have_ended(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {BURN.format(s=0.2)!r}])\n"
        f"subprocess.Popen([sys.executable, '-c', {BURN.format(s=0.2) + 'time.sleep(60)'!r}])\n"
        "print('burnt', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = Process("burner", python("-c", code), env=environment(""), folder=tmp_path)
    try:
        process.wait_for_log("burnt")
        wait_until(lambda: weigh(process.pid).cpu_s > 0.35, what="both children have burnt")
        weight = weigh(process.pid)
        assert weight.cpu_s < 1.5
        assert weight.threads == 2
    finally:
        process.stop()
    wait_until(lambda: weigh(process.pid).threads == 0, what="its children have ended")


def test_processes_end_when_the_bench_is_killed(tmp_path):
    """Even by kill -9, after which the bench cannot clean up."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from bench.processes import Process, environment, python\n"
        "p = Process('c', python('-c', 'import time; time.sleep(60)'), env=environment(''),\n"
        f"            folder=Path({str(tmp_path)!r}))\n"
        "print(p.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment("")},
    ) as bench:
        session = int(bench.stdout.readline())
        bench.kill()
    wait_until(lambda: weigh(session).threads == 0, timeout_s=10, what="the process has ended")
