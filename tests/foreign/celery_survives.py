"""Tells which messages a worker without the bridge survives: "ok", or an exception's name.

Run it as ``python -m tests.foreign.celery_survives``, with a message a line on stdin. Each message
goes through kombu's Message and Celery's own handler, without starting a worker.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from types import SimpleNamespace

from celery.exceptions import TaskRevokedError
from celery.worker import state
from kombu import Connection
from kombu.utils.json import loads

from tests.foreign.app import app


def main() -> None:
    logging.disable(logging.CRITICAL)
    consumer = app.Worker(pool="solo", hostname="survives@here", loglevel=None).consumer
    consumer.pool = SimpleNamespace(apply_async=lambda *_, **__: None)  # runs nothing

    def give_to_pool(request):
        with suppress(TaskRevokedError):
            request.execute_using_pool(consumer.pool)

    consumer.on_task_request = give_to_pool
    consumer.qos = SimpleNamespace(
        increment_eventually=lambda *_: None, decrement_eventually=lambda *_: None
    )
    consumer.update_strategies()
    handle = consumer.create_task_handler()
    channel = Connection("memory://").channel()
    for line in sys.stdin:
        state.revoked.clear()  # an expired message may have had the same id
        try:
            message = channel.Message(loads(line), channel=channel)
            message.accept = app.conf.accept_content and {
                "application/json",
                "application/x-python-serialize",
            }
            message.delivery_info["exchange"], message.delivery_info["routing_key"]
            channel.qos.append(message, message.delivery_tag)
            handle(message)
        except Exception as exc:  # noqa: BLE001
            sys.stdout.write(f"{type(exc).__name__}\n")
        else:
            sys.stdout.write("ok\n")


if __name__ == "__main__":
    main()
