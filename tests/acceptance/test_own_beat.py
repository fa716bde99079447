"""The bridge's beat process beside an app that has its own periodic tasks."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import redis

from bridge.healthcheck.celery_process import children_of
from tests.acceptance.deployment import CREDENTIALS, Deployment, Process
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

TICK_S = 0.5
PERIOD_S = 0.5
WINDOW_S = 4.0
APP = f"""
import os
from celery import Celery
import bridge

app = Celery("shop")
app.conf.beat_schedule = {{"set": {{"task": "shop.note", "schedule": {PERIOD_S}, "args": ["set"]}}}}
bridge.install(app)


@app.on_after_configure.connect
def add(sender, **_):
    sender.add_periodic_task({PERIOD_S}, note.s("added"), name="added")


@app.task(name="shop.note", ignore_result=True)
def note(name):
    with open("notes", "a") as file:
        file.write(name + "\\n")
"""
TICKS = ("bridge.heartbeat", "bridge.flush_outbox", "bridge.recover")
names = (f"n{n}@%h" for n in itertools.count())


@pytest.fixture
def shop(deploy) -> Deployment:
    deployment = deploy(BRIDGE_TICK_S=str(TICK_S), PYTHONPATH="")
    del deployment.env["BRIDGE_TASKS"]
    (deployment.folder / "shop.py").write_text(APP)
    return deployment


def worker(shop: Deployment, *args: str, pool: str = "threads") -> Process:
    process = shop.start(
        "worker",
        "worker",
        "--hostname",
        next(names),
        "--pool",
        pool,
        "--concurrency",
        "4",
        "--loglevel",
        "INFO",
        "--without-mingle",
        "--schedule",
        f"schedule{len(shop.processes)}",
        *args,
        app="shop",
        **CREDENTIALS,
    )
    process.says("ready.")
    return process


def own_beat(shop: Deployment, *args: str) -> Process:
    process = shop.start("own", "beat", "--loglevel", "INFO", *args, app="shop")
    process.says("beat: Starting")
    return process


def waiting(shop: Deployment) -> int:
    with redis.Redis.from_url(shop.valkey.url) as client:
        return int(client.llen("bridge.system"))


def in_window(shop: Deployment, *workers: Process) -> dict[str, float]:
    """How often each periodic task was published a period, once each has been published."""
    wait_until(
        lambda: all(published(shop, workers).values()),
        what="each periodic task has been published",
    )
    before, began = published(shop, workers), time.monotonic()
    longest = 0
    while time.monotonic() < began + WINDOW_S:
        longest = max(longest, waiting(shop))
        time.sleep(0.02)
    after, took_s = published(shop, workers), time.monotonic() - began
    assert longest <= 10
    return {name: (after[name] - before[name]) / (took_s / PERIOD_S) for name in after}


def published(shop: Deployment, workers: tuple[Process, ...]) -> dict[str, int]:
    file = shop.folder / "notes"
    notes = file.read_text().split() if file.exists() else []
    lines = [line for process in workers for line in process.output.splitlines()]
    ticks = {name: sum(f"Task {name}[" in x and "received" in x for x in lines) for name in TICKS}
    return ticks | {name: notes.count(name) for name in ("set", "added")}


def assert_once_a_period(rates: dict[str, float]) -> None:
    # Published twice a period it would be 2; a busy machine delays some.
    wrong = {name: rate for name, rate in rates.items() if not 0.5 <= rate <= 1.5}
    assert not wrong, f"not published once a period: {rates}"


class TestEachIsPublishedOnce:
    def test_beside_the_apps_own_beat(self, shop):
        worker(shop)
        own_beat(shop)
        beat = worker(shop, "-B", "-Q", "bridge.system")
        assert_once_a_period(in_window(shop, beat))
        beat.says("(added, set) are published by its own beat, not here: celery -A shop beat")
        assert not any("bridge." in line for line in sending(shop.processes[1]))

    def test_beside_a_worker_that_is_the_apps_beat(self, shop):
        worker(shop, "-B", pool="prefork")
        beat = worker(shop, "-B", "-Q", "bridge.system")
        assert_once_a_period(in_window(shop, beat))

    def test_in_one_worker_of_both(self, shop):
        both = worker(shop, "-B", "-Q", "celery,bridge.system")
        assert_once_a_period(in_window(shop, both))
        both.signal(signal.SIGTERM)
        both.wait()
        assert "Traceback" not in both.output

    def test_with_beat_processes_that_are_no_workers(self, shop):
        worker(shop)
        own_beat(shop)
        own_beat(shop, "--scheduler", "bridge.processes.tick_scheduler:TickScheduler", "--pidfile=")
        system = worker(shop, "-Q", "bridge.system")
        assert_once_a_period(in_window(shop, system))

    def test_by_celery_beat_of_the_default_app(self, deploy):
        """``celery -A bridge beat`` publishes the ticks; a worker without -B consumes them."""
        deployment = deploy(JOBS_ONLY="echo", BRIDGE_TICK_S=str(TICK_S))
        deployment.create_activities()
        deployment.worker()
        deployment.start("own", "beat")
        system = deployment.worker("-Q", "bridge.system", "--pool", "threads", **CREDENTIALS)
        deployment.poller()
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        system.says("Task bridge.recover[")


class TestTicksDoNotPileUp:
    def test_while_their_worker_hangs_and_after_it_was_killed(self, shop):
        beat = worker(shop, "-B", "-Q", "bridge.system")
        (ticking,) = children_of(beat.popen.pid)
        beat.says("Task bridge.recover[")
        beat.signal(signal.SIGSTOP)
        assert longest(shop, 4.0) <= 10
        assert waiting(shop) > 0
        second = worker(shop, "-B", "-Q", "bridge.system")
        second.signal(signal.SIGSTOP)
        assert longest(shop, 3.0) <= 10, "two beat processes publish now"
        # Only the worker: the child process that publishes ticks must end by itself.
        os.kill(beat.popen.pid, signal.SIGKILL)
        beat.wait()
        wait_until(lambda: not psutil.pid_exists(ticking), what="the orphaned beat process ends")
        second.signal(signal.SIGCONT)
        wait_until(lambda: waiting(shop) == 0, what="the second worker drains the queue")

    def test_ticks_of_an_earlier_version_are_consumed_without_a_pass_for_each(self, shop):
        """An earlier version has published them while no process consumed the queue."""
        old = 1_000
        (shop.folder / "flood.py").write_text(
            "from shop import app\n"
            "with app.producer_pool.acquire() as producer:\n"
            f"    for n in range({old}):\n"
            "        name = ('bridge.heartbeat', 'bridge.recover', 'bridge.metrics')[n % 3]\n"
            "        app.send_task(name, queue='bridge.system', producer=producer)\n"
        )
        subprocess.run(
            [sys.executable, "flood.py"], cwd=shop.folder, env=shop.env, timeout=60, check=True
        )
        assert waiting(shop) == old
        beat = worker(shop, "-B", "-Q", "bridge.system")
        began = time.monotonic()
        wait_until(lambda: waiting(shop) <= 10, timeout_s=60, what="the queue is drained")
        took_s = time.monotonic() - began
        passes = [
            line
            for line in beat.output.splitlines()
            if "Task bridge.heartbeat[" in line and "succeeded" in line and "{'sent'" in line
        ]
        assert len(passes) <= 5 + 4 * took_s / TICK_S


class TestOutage:
    def test_ticks_continue_when_the_broker_is_back(self, shop):
        beat = worker(shop, "-B", "-Q", "bridge.system")
        beat.says("Task bridge.recover[")
        shop.valkey.kill()
        beat.says("Couldn't apply scheduled task bridge.")
        shop.valkey.start()
        before = beat.output.count("Task bridge.recover[")
        wait_until(lambda: beat.output.count("Task bridge.recover[") > before + 4)
        assert longest(shop, 1.0) <= 10


def longest(shop: Deployment, for_s: float) -> int:
    """The most messages in the bridge's queue during this time."""
    most, until = 0, time.monotonic() + for_s
    while time.monotonic() < until:
        most = max(most, waiting(shop))
        time.sleep(0.01)
    return most


def sending(beat: Process) -> list[str]:
    return [line for line in beat.output.splitlines() if "Sending due task" in line]
