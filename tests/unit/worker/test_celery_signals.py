"""How a worker's parent process stores endings; the acceptance tests show which endings."""

from __future__ import annotations

import threading
import time

from bridge.worker.celery_signals import WAIT_S, _Writer
from tests.waiting import wait_until


def test_many_endings_in_an_outage_block_the_loop_once():
    """The loop also serves the app's ordinary tasks."""
    back, written = threading.Event(), []
    writer, began, others = _Writer(), time.monotonic(), set(threading.enumerate())
    for number in range(50):
        writer.write(lambda number=number: back.wait() and written.append(number))
    assert time.monotonic() - began < 10 * WAIT_S
    # By name: threads of other tests may begin and end meanwhile.
    assert [t.name for t in threading.enumerate() if t not in others].count("bridge-endings") == 1
    assert written == []
    back.set()
    wait_until(lambda: written == list(range(50)))


def test_an_ending_is_stored_before_its_message_is_acknowledged():
    written = []
    writer = _Writer()
    writer.write(lambda: 1 / 0)  # logged
    for number in range(3):
        writer.write(lambda number=number: written.append(number))
        assert written[-1] == number
