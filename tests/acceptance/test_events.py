"""A worker sends its task events in batches, completely and soon."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


class Listener:
    """Receives the events that Flower receives, and notes when."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[str, str, float]] = []
        self._app = Celery("listener", broker=url, set_as_current=False)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def _listen(self) -> None:
        with self._app.connection() as connection:
            receiver = self._app.events.Receiver(connection, handlers={"*": self._on_event})
            self._ready.set()
            with suppress(OSError, OperationalError, RedisError):  # when the test has ended
                receiver.capture(limit=None, timeout=None, wakeup=False)

    def _on_event(self, event) -> None:
        self.heard.append((event["type"], event.get("uuid", ""), time.time()))

    def of(self, kind: str) -> set[str]:
        return {uuid for type_, uuid, _ in self.heard if type_ == kind}


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_every_event_of_every_job_arrives(deploy, pool):
    deployment = deploy(JOBS_ONLY="echo")
    deployment.create_activities()
    listener = Listener(deployment.valkey.url)
    deployment.worker("--pool", pool, "--task-events")
    deployment.poller()
    machine = deployment.one_state("echo")
    executions = [deployment.execute(machine, id=f"e{number}") for number in range(10)]
    for execution in executions:
        assert deployment.ended(execution)["status"] == "SUCCEEDED"
    for kind in ("task-received", "task-started", "task-succeeded"):
        assert wait_until(lambda kind=kind: len(listener.of(kind)) == 10)


def test_a_worker_that_stops_sends_its_last_events(deploy):
    """Its job ends just before the warm shutdown; Flower must not show it as running for ever."""
    deployment = deploy(JOBS_ONLY="sleep")
    deployment.create_activities()
    listener = Listener(deployment.valkey.url)
    worker = deployment.worker("--task-events")
    deployment.poller()
    execution = deployment.execute(deployment.one_state("sleep"), id="last", seconds=2)
    wait_until(lambda: deployment.seen("sleep"))
    worker.signal(15)
    assert worker.wait(30) == 0
    assert wait_until(lambda: len(listener.of("task-succeeded")) == 1)
    assert deployment.ended(execution)["status"] == "SUCCEEDED"
