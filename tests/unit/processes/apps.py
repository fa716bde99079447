"""Apps with the bridge, on brokers of kombu's transport in memory."""

from __future__ import annotations

import itertools
import time

from celery import Celery
from celery.beat import Scheduler

import bridge
from bridge.registry import SYSTEM_QUEUE
from bridge.settings import Settings

OWN = {"own": {"task": "shop.own", "schedule": 1.0}}
TICK_S = 0.1
brokers = (f"memory://{n}" for n in itertools.count())


def make_app(**conf) -> Celery:
    """An app with a broker of its own, and the bridge."""
    app = Celery("shop", broker=next(brokers), set_as_current=False)
    app.conf.update(conf)
    bridge.install(app)
    app.bridge.settings = Settings(
        store_url="redis://127.0.0.1:1/0", tick_s=TICK_S, heartbeat_s=1, lease_s=1
    )
    return app


def take_all(app: Celery) -> list[str]:
    """The tasks whose messages wait in the queue, which is empty then."""
    taken = []
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[SYSTEM_QUEUE](connection.channel())
        queue.declare()
        while (message := queue.get(no_ack=True)) is not None:
            taken.append(message.headers["task"])
    return taken


def run(scheduler: Scheduler, for_s: float) -> None:
    """What Celery's beat does with a scheduler, for so long."""
    until = time.monotonic() + for_s
    while (now := time.monotonic()) < until:
        time.sleep(max(0.0, min(scheduler.tick(), until - now)))
