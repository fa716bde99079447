"""RabbitMQ restarts while an app's worker with a pool of threads runs tasks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.local.valkey import LocalValkey
from tests.faults.rabbitmq import RabbitMQ, rabbitmq_missing
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.lasts(60),
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(rabbitmq_missing()), reason=rabbitmq_missing() or "-"),
]

APP = """
import time
from celery import Celery
import bridge

app = Celery("shop")
app.conf.broker_connection_max_retries = None
bridge.install(app)


@app.task(name="shop.note", ignore_result=True)
def note(number):
    time.sleep(0.3)
    with open("notes", "a") as file:
        file.write(f"{number}\\n")
"""
SEND = "import sys, shop\nfor n in range(40): shop.note.delay(f'{sys.argv[1]}-{n}')\n"


def test_the_worker_continues_with_the_full_prefetch_count(deploy):
    """Celery lowers the count with the loss, and raises it as tasks are acknowledged."""
    with RabbitMQ() as broker:
        store = LocalValkey().start()
        shop = deploy(
            valkey=store, BRIDGE_STORE_URL=store.url, CELERY_BROKER_URL=broker.url, PYTHONPATH=""
        )
        del shop.env["BRIDGE_TASKS"]
        (shop.folder / "shop.py").write_text(APP)
        (shop.folder / "send.py").write_text(SEND)
        worker = shop.worker("--pool", "threads", app="shop")
        notes = shop.folder / "notes"
        for time in ("first", "second"):
            subprocess.run(
                [sys.executable, "send.py", time], cwd=shop.folder, env=shop.env, check=True
            )
            wait_until(lambda t=time: notes.exists() and f"{t}-" in notes.read_text())
            before = worker.output.count("restored to the maximum of 16")
            broker.restart()
            wait_until(
                lambda b=before: worker.output.count("restored to the maximum of 16") > b,
                timeout_s=120,
                what="the prefetch count is as it was",
            )
            wait_until(
                lambda t=time: len({n for n in notes.read_text().split() if n.startswith(t)}) == 40,
                what="every task has run",
            )
