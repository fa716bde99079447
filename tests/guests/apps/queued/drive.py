"""Calls the app's tasks as its users do, and prints the results."""

import json

from celery import chord
from shop import celery, tasks


def came(result):
    value = result.get(timeout=90, propagate=False)
    return [result.state, repr(value) if isinstance(value, Exception) else value]


celery.app.set_current()
sent = [tasks.order.delay(number) for number in range(10)]
sent += [tasks.bill.delay(number) for number in range(10)]
sent += [
    tasks.number_of.delay("7"),
    tasks.number_of.delay("seven"),
    tasks.parcel.delay({"number": -1}),
    tasks.bill.apply_async((100,), countdown=1),
    chord([tasks.order.s(1), tasks.order.s(2)], tasks.bill.s())(),
]
print(json.dumps([came(result) for result in sent]))
