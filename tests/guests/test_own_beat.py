"""An app's beat beside the bridge's for a minute, with each scheduler that apps use."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import BEAT
from tests.guests.host_app import HostApp
from tests.waiting import wait_until

pytestmark = pytest.mark.lasts(120)

WINDOW_S = 60
TICKS = ("bridge.heartbeat", "bridge.flush_outbox", "bridge.recover")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_REGION": "us-east-1",
    "AWS_SECRET_ACCESS_KEY": "none",
}
MIGRATE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
STORED_BY_DJANGO = """
import django, json
django.setup()
from django_celery_beat.models import IntervalSchedule, PeriodicTask
second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
PeriodicTask.objects.create(
    name="stored", task="shop.note", args=json.dumps(["stored"]), interval=second)
"""
STORED_BY_REDBEAT = """
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
from shop import app
RedBeatSchedulerEntry("stored", "shop.note", schedule(1.0), args=["stored"], app=app).save()
"""
OF_AN_EARLIER_VERSION = """
import django
django.setup()
from celery.schedules import schedule
from django_celery_beat.models import IntervalSchedule, PeriodicTask
for name in ("bridge.heartbeat", "bridge.flush_outbox", "bridge.recover"):
    interval = IntervalSchedule.from_schedule(schedule(0.5))
    interval.save()
    PeriodicTask.objects.create(
        name=name, task=name, interval=interval, queue="bridge.system", expire_seconds=2)
"""
REMOVE = """
import django
django.setup()
from django_celery_beat.models import PeriodicTask, PeriodicTasks

PeriodicTask.objects.filter(task__startswith="bridge.").delete()
PeriodicTasks.update_changed()
"""


class Shop:
    """The app with one scheduler and its own Valkey: a worker, its beat, the bridge's beat."""

    def __init__(self, scheduler: str, folder: Path) -> None:
        self.scheduler = scheduler
        self.host = HostApp("periodic", folder, bridge=True)
        self._valkey = LocalValkey().start()
        self._redis = redis.Redis.from_url(self._valkey.url)
        self.host.env |= {
            "CELERY_BROKER_URL": self._valkey.url,
            "SCHEDULER": scheduler,
        }
        if scheduler == "django":
            self.host.env["DJANGO_SETTINGS_MODULE"] = "settings"
            self.host.python(MIGRATE)

    def start(self) -> None:
        """Start each process in the documented way."""
        self.host.start("own", "beat", "--loglevel", "INFO", "--pidfile=")
        self.host.start("worker", "worker", "--pool", "solo", "--hostname", "worker@%h")
        self.host.start(
            "bridge",
            *BEAT,
            "--concurrency",
            "8",
            "--loglevel",
            "INFO",
            "--hostname",
            "beat@%h",
            **CREDENTIALS,
        )

    def log(self, role: str) -> str:
        """What the process of this role has logged."""
        return next(each for each in self.host.processes if each.name == f"{role}0").output

    @property
    def waiting(self) -> int:
        """How many messages are in the bridge's queue."""
        return int(self._redis.llen("bridge.system"))

    @property
    def published(self) -> Counter[str]:
        """How often each periodic task was published: runs of the app's, received ticks."""
        notes = self.host.folder / "notes"
        counted = Counter(notes.read_text().split() if notes.exists() else [])
        for line in self.log("bridge").splitlines():
            for name in TICKS:
                counted[name] += f"Task {name}[" in line and line.endswith("received")
        return +counted

    def stop(self) -> None:
        self.host.stop()
        self._valkey.stop()
        self._redis.close()


@pytest.fixture(scope="module")
def shops(tmp_path_factory) -> Iterator[dict[str, Shop]]:
    """An app for each scheduler; all of them run."""
    made = {}
    try:
        for scheduler in ("default", "django", "redbeat"):
            made[scheduler] = Shop(scheduler, tmp_path_factory.mktemp("own-beat") / scheduler)
        made["django"].host.python(STORED_BY_DJANGO)
        made["redbeat"].host.python(STORED_BY_REDBEAT)
        for shop in made.values():
            shop.start()
        yield made
    finally:
        for shop in made.values():
            shop.stop()


@pytest.fixture(scope="module")
def seen(shops) -> dict[str, tuple[dict[str, float], int]]:
    """Of each scheduler: publications a second during the window, and the longest queue."""
    for scheduler, shop in shops.items():
        kinds = 5 if scheduler == "default" else 6
        wait_until(
            lambda s=shop, k=kinds: len(s.published) == k,
            timeout_s=60,
            what=f"{scheduler}: each periodic task is published",
        )
    before, began = {name: shop.published for name, shop in shops.items()}, time.monotonic()
    longest = dict.fromkeys(shops, 0)
    while time.monotonic() < began + WINDOW_S:
        for name, shop in shops.items():
            longest[name] = max(longest[name], shop.waiting)
        time.sleep(0.02)
    found = {}
    for name, shop in shops.items():
        published, took_s = shop.published, time.monotonic() - began
        found[name] = (
            {task: (published[task] - before[name][task]) / took_s for task in published},
            longest[name],
        )
    return found


@pytest.mark.parametrize("scheduler", ["default", "django", "redbeat"])
class TestAMinute:
    def test_each_periodic_task_is_published_once_a_period(self, seen, scheduler):
        rates, _ = seen[scheduler]
        own = {"set", "added"} | ({"stored"} if scheduler != "default" else set())
        assert set(rates) == own | set(TICKS)
        assert all(0.8 <= rate <= 1.2 for rate in rates.values()), rates

    def test_ticks_never_pile_up(self, seen, scheduler):
        assert seen[scheduler][1] <= 10

    def test_the_apps_beat_knows_nothing_of_the_bridge(self, seen, shops, scheduler):
        assert "bridge." not in shops[scheduler].log("own")

    def test_the_bridges_beat_keeps_no_file(self, seen, shops, scheduler):
        files = {file.name for file in shops[scheduler].host.folder.glob("celerybeat*")}
        assert all(scheduler == "default" for _ in files), files
        assert "Traceback" not in shops[scheduler].log("bridge")


def test_ticks_that_an_earlier_version_stored_do_not_pile_up(tmp_path):
    """django-celery-beat stored their half second as 0 s, so it never pauses."""
    shop = Shop("django", tmp_path / "shop")
    try:
        shop.host.python(OF_AN_EARLIER_VERSION)
        shop.start()
        wait_until(lambda: len(shop.published) == 5, timeout_s=60, what="all is published")
        before, began, longest = shop.published, time.monotonic(), 0
        while time.monotonic() < began + 10:
            longest = max(longest, shop.waiting)
            time.sleep(0.02)
        published, took_s = shop.published, time.monotonic() - began
        rates = {name: (published[name] - before[name]) / took_s for name in published}
        assert longest <= 10
        # One a second from the bridge's beat, and at most two from the app's.
        assert all(rates[name] <= 3.3 for name in TICKS), rates
        assert "bridge.heartbeat" in shop.log("own")
        shop.host.python(REMOVE)
        wait_until(lambda: "DatabaseScheduler: Schedule changed." in shop.log("own"), timeout_s=30)
        time.sleep(1)
        sent = shop.log("own").count("bridge.")
        time.sleep(3)
        assert shop.log("own").count("bridge.") == sent
    finally:
        shop.stop()
