"""An app with the bridge and a broker of its own."""

from __future__ import annotations

import pytest

from bridge.registry import SYSTEM_QUEUE
from tests.unit.processes.apps import make_app


@pytest.fixture
def app():
    made = make_app()
    yield made
    made.close()
    # kombu keeps these queues in the process.
    with made.connection_for_write() as connection:
        connection.channel().queues.pop(SYSTEM_QUEUE, None)
