"""Calls the app's tasks as its users do, and prints the results."""

import json
import sys
import uuid
from datetime import UTC, datetime, timedelta

from celery import chain, chord, group
from celery.exceptions import TimeoutError as NoResult
from shop import celery_app, tasks

WAIT_S = 60


def came(result, wait_s=WAIT_S):
    try:
        value = result.get(timeout=wait_s, propagate=False)
    except NoResult:
        value = "no result"
    if isinstance(value, BaseException):
        value = [type(value).__name__, str(value)]
    return [result.state, value]


def with_children(result):
    return [came(result), [came(child) for child in result.children or []]]


def before():
    for number in range(20):
        tasks.ordered.delay(number)


def main():
    sent = {
        "add": tasks.add.delay(2, 3),
        "number id": tasks.add.apply_async((2, 4), task_id="7"),
        "keyed": tasks.keyed.delay(name="ab", size=2),
        "route": tasks.report_daily.delay(1),
        "pack as a task": tasks.pack.delay({"number": -1}),
        "pack that fails": tasks.pack.delay({}),
        "countdown": tasks.add.apply_async((1, 1), countdown=2),
        "eta": tasks.add.apply_async((1, 2), eta=datetime.now(UTC) + timedelta(seconds=2)),
        "flaky": tasks.flaky.delay("twice", 2),
        "flaky for ever": tasks.flaky.delay("ever", 99),
        "again": tasks.again.delay(3),
        "missing": tasks.missing.delay("k"),
        "too long": tasks.too_long.delay(),
        "far too long": tasks.far_too_long.delay(),
        "dies": tasks.dies.delay(),
        "bad arguments": celery_app.send_task("shop.tasks.add", (1,)),
        "unknown": celery_app.send_task("shop.tasks.gone"),
        "errback": tasks.missing.apply_async(("e",), link_error=tasks.failed.s()),
        "link": tasks.add.apply_async((5, 5), link=tasks.add.s(1)),
        "replaced": tasks.replaced.delay(1),
        "chain": chain(tasks.add.s(1, 1), tasks.add.s(2), tasks.add.s(3))(),
        "group": group(tasks.add.s(n, n) for n in range(5))(),
        "chord": chord((tasks.add.s(n, n) for n in range(6)), tasks.total.s())(),
        "chain with a pack": chain(tasks.add.si(1, 1), tasks.pack.si({"number": -2}))(),
        "chord of packs": chord(
            [tasks.pack.s({"number": -3}), tasks.pack.s({"number": -4})], tasks.keyed.si(name="x")
        )(),
        "broken chord": chord([tasks.add.s(1, 1), tasks.missing.s("c")], tasks.total.s())(),
        "chain that breaks": chain(tasks.missing.si("d"), tasks.add.si(1, 1))(),
        "expired": tasks.add.apply_async((9, 9), countdown=14, expires=12),
    }
    ignored, rejected = tasks.ignored.delay(), tasks.rejected.delay()
    limited = [tasks.limited.delay(n) for n in range(15)]
    revoked = tasks.add.apply_async((3, 3), countdown=6, task_id=str(uuid.uuid4()))
    revoked.revoke()
    asleep = tasks.sleeps.delay(60)
    found = {name: came(result) for name, result in sent.items() if name != "group"}
    found["group"] = [came(result) for result in sent["group"]]
    found["chain's parents"] = [came(sent["chain"].parent), came(sent["chain"].parent.parent)]
    found["link's child"] = with_children(sent["link"])
    found["limited"] = [came(result) for result in limited]
    times = sorted(result.date_done for result in limited)
    found["rate held"] = (times[-1] - times[0]).total_seconds() > 2
    while asleep.state != "STARTED":
        pass
    asleep.revoke(terminate=True)
    found["terminated"] = came(asleep)
    found["revoked"] = came(revoked)
    found["ignored"], found["rejected"] = came(ignored, 1), came(rejected, 1)
    print(json.dumps(found))


before() if sys.argv[1:] == ["before"] else main()
