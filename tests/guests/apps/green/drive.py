"""Calls the app's tasks as its users do, and prints the results."""

import json
import time

from celery import group
from shop import tasks


def came(result):
    value = result.get(timeout=60, propagate=False)
    return [result.state, repr(value) if isinstance(value, Exception) else value]


began = time.monotonic()
fetched = [tasks.fetch.delay(number) for number in range(50)]
together = [came(result) for result in fetched]
lasted_s = time.monotonic() - began
others = [
    tasks.spread.delay([1, 2, 3]),
    tasks.unsteady.delay(),
    tasks.hangs.delay(),
    tasks.crawl.delay({"number": -1}),
    tasks.fetch.apply_async((99,), countdown=1),
    group(tasks.fetch.s(n) for n in (100, 101)) | tasks.spread.s(),
]
others[-1] = others[-1].delay()
print(
    json.dumps(
        {
            "together": together,
            "at once": lasted_s < 25,
            "others": [came(result) for result in others],
        }
    )
)
