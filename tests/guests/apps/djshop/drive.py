"""Calls the app's tasks as the site's views do; prints the results and the database's rows."""

import json
import os
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from celery import chain  # noqa: E402
from django_celery_beat.models import PeriodicTask  # noqa: E402
from django_celery_results.models import TaskResult  # noqa: E402
from orders import tasks  # noqa: E402
from orders.models import Order  # noqa: E402


def came(result):
    value = result.get(timeout=60, propagate=False)
    return [result.state, repr(value) if isinstance(value, Exception) else value]


found = [came(tasks.place.delay(number)) for number in range(8)]
later = [
    tasks.pay.delay(3),
    tasks.pay.delay(99),
    tasks.place_twice.delay(50),
    tasks.ship.delay({"number": -1}),
    chain(tasks.place.si(60), tasks.pay.si(60))(),
    tasks.place.apply_async((70,), countdown=1),
]
found += [came(result) for result in later]
found.append(came(tasks.count.delay()))
time.sleep(6)  # for its periodic task
results = TaskResult.objects.exclude(task_name__in=["orders.tasks.tidy"])
results = results.exclude(task_id__startswith="bridge-")
print(
    json.dumps(
        {
            "came": found,
            "orders": sorted(Order.objects.filter(number__lt=1000).values_list("number", "state")),
            "results": sorted(
                map(list, results.values_list("task_name", "status", "result", "task_args"))
            ),
            "periodic": sorted(PeriodicTask.objects.values_list("name", "task", "enabled")),
        }
    )
)
