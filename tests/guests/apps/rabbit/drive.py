"""Calls the app's tasks as its users do, and prints the results."""

import json
import sys

from shop import tasks
from shop.celery import app


def came(result):
    value = result.get(timeout=60, propagate=False)
    return [result.state, repr(value) if isinstance(value, Exception) else value]


def before():
    app.amqp.queues["quick"].bind(app.connection_for_write().channel()).declare()
    for number in range(9):
        tasks.quick.apply_async((number,), priority=(1, 9, 5)[number % 3])


def main():
    sent = [tasks.order.delay(number) for number in range(20)]
    sent += [
        tasks.dies_once.delay(),
        tasks.requeued.delay(),
        tasks.number_of.delay("7"),
        tasks.number_of.delay("seven"),
        tasks.parcel.delay({"number": -1}),
        tasks.order.apply_async((100,), routing_key="order.old.one", exchange="orders"),
        tasks.order.apply_async((101,), countdown=1),
    ]
    print(json.dumps([came(result) for result in sent]))


before() if sys.argv[1:] == ["before"] else main()
