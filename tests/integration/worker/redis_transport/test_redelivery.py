"""How workers give back what dead workers had taken, with the bridge's settings; a real Valkey."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from queue import Empty

from kombu import Connection

from bridge.celery_defaults import REDIS_TRANSPORT_OPTIONS
from bridge.local.valkey import LocalValkey
from tests.waiting import wait_until

AT_ONCE = {**REDIS_TRANSPORT_OPTIONS, "visibility_timeout": 0}

KILLED_WHILE_GIVING_BACK = """
import json, os, signal, sys
from kombu import Connection

channel = Connection(sys.argv[1], transport_options=json.loads(sys.argv[2])).channel()
channel.qos.restore_by_tag = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
channel.qos.restore_visible(interval=1)
"""


def test_a_worker_killed_while_it_gives_messages_back_blocks_others_for_seconds():
    """The lock of kombu's that the dead worker leaves behind lasts for seconds, not minutes."""
    with LocalValkey() as server, Connection(server.url, transport_options=AT_ONCE) as connection:
        queue = connection.SimpleQueue("redelivery")
        queue.put({"n": 1})
        queue.get(timeout=5)  # and never acknowledged
        args = [sys.executable, "-c", KILLED_WHILE_GIVING_BACK, server.url, json.dumps(AT_ONCE)]
        assert subprocess.run(args, check=False, timeout=60).returncode == -signal.SIGKILL

        def given_back():
            queue.channel.qos.restore_visible(interval=1)
            with suppress(Empty):
                return queue.get(block=False)

        assert given_back() is None  # the lock is held
        assert wait_until(given_back, timeout_s=20).payload == {"n": 1}
