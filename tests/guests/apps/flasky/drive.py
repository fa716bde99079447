"""Calls the app's tasks as the site's requests do, and prints the results."""

import json
import sys

from make_celery import celery_app, flask_app
from shop import tasks


def came(result):
    value = result.get(timeout=60, propagate=False)
    return [result.state, repr(value) if isinstance(value, Exception) else value]


def before():
    for number in range(12):
        tasks.mail_order.apply_async((number,), priority=(9, 0, 6, 3)[number % 4])
    for number in range(6):
        tasks.page.delay(number)


def main():
    with flask_app.app_context():  # as in a request
        sent = [tasks.price.delay(n) for n in range(10)]
        sent += [tasks.bill.apply_async((n,), priority=n % 10) for n in range(10)]
        sent += [tasks.unlucky.delay(), tasks.quote.delay({"number": -1})]
        refused = ""
        try:
            celery_app.send_task("shop.tasks.price", (1,), queue="nowhere")
        except Exception as exc:  # noqa: BLE001 (its name is what is compared)
            refused = repr(exc)
        print(json.dumps({"came": [came(result) for result in sent], "refused": refused}))


before() if sys.argv[1:] == ["before"] else main()
