"""Give the same fuzzed messages to a worker with the bridge and to one without; compare both."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.acceptance.deployment import Process
from tests.foreign.messages import FATAL, MessageFuzzer
from tests.foreign.shop import QUEUE, Shop, survived_by_celery
from tests.waiting import wait_until

KEYS = (QUEUE, *(f"{QUEUE}\x06\x16{step}" for step in (3, 6, 9)))
"""The Redis lists of a queue, one a priority, the most urgent first."""
ROW = 80
"""Jobs in a row. After 50 a worker takes several messages at once, so that the next foreign message
is inside such a batch."""


def differing(one: Any, other: Any) -> str:
    """What only one of the two workers did, for an assertion's message."""
    if isinstance(one, Counter):
        return f"{one - other} without, {other - one} with the bridge"
    return f"{one} without, {other} with the bridge"


def compare_priorities(folder: Path, *, seed: int, count: int) -> None:
    """Compare both workers with messages of all priorities; Redis orders the priorities."""
    fuzzer = MessageFuzzer(seed)
    messages = survived_by_celery([fuzzer.message() for _ in range(count)])
    outcomes = []
    for bridge in (False, True):
        with Shop(folder, bridge=bridge) as shop:
            for number, message in enumerate(messages):
                shop.push([message], key=KEYS[number % len(KEYS)])
            shop.push([shop.end_message("all")], key=KEYS[-1])
            shop.worker()
            shop.wait_for(lambda shop=shop: shop.ended("all"), "all")
            found = shop.outcome()
            outcomes.append({**found, "loop": Counter(map(tuple, found["loop"]))})
    want, got = outcomes
    for what, one in want.items():
        assert one == got[what], f"seed {seed}, {what}: {differing(one, got[what])}"


def send_fatal(folder: Path, *, bridge: bool) -> list[str]:
    """Send each message of ``FATAL``: "ends" or "lives", which is what the worker does then.

    Asserts that the messages sent with it run once, in order.
    """
    verdicts = []
    with Shop(folder, bridge=bridge) as shop:
        jobs = shop.job_messages(ROW * len(FATAL)) if bridge else []
        shop.worker()
        for number, fatal in enumerate(FATAL):
            if bridge:  # so that the worker takes the next messages in one round trip
                shop.push(jobs[ROW * number : ROW * (number + 1)])
                shop.wait_for(
                    lambda n=number: len(shop.jobs_run()) == ROW * (n + 1), "a row of jobs"
                )
            after = [shop.end_message(f"{name} {number}") for name in ("b", "c")]
            shop.push([fatal, *after])
            worker = shop.workers[-1]

            def over(n: int = number, worker: Process = worker) -> bool:
                return not worker.alive or shop.ended(f"c {n}")

            wait_until(over, timeout_s=30, what=f"{fatal[:80]} is over")
            verdicts.append("lives" if worker.alive else "ends")
            if not worker.alive:
                # Celery returns some of them to the queue, where they would end the next worker.
                left = [text for text in shop.redis.lrange(QUEUE, 0, -1) if "shop.end" in text]
                assert left == after[::-1], fatal[:200]
                shop.redis.delete(QUEUE)
                shop.push(after)
                shop.worker()
            shop.wait_for(lambda n=number: shop.ended(f"c {n}"), f"what came with {fatal[:80]}")
        ends = [note[2].strip("'") for note in shop.notes() if note[:2] == ["run", "end"]]
        names = [f"{name} {n}" for n in range(len(FATAL)) for name in ("b", "c")]
        assert ends == names
        if bridge:
            assert shop.jobs_run() == [f"job-{n}" for n in range(ROW * len(FATAL))]
    return verdicts


def compare(
    folder: Path, *, seed: int, count: int, jobs: int, least: int = 1, timeout_s: float = 60.0
) -> None:
    """Make ``count`` messages, and send both workers those that Celery survives.

    Args:
        jobs: How many jobs of the bridge are sent between them.
        least: How many messages Celery must survive at least.
        timeout_s: How long both workers may take, in seconds.
    """
    fuzzer = MessageFuzzer(seed)
    messages = survived_by_celery([fuzzer.message() for _ in range(count)])
    assert len(messages) >= least
    with ExitStack() as stack:
        plain, bridged = (
            stack.enter_context(Shop(folder, bridge=bridge)) for bridge in (False, True)
        )
        rows = bridged.job_messages(jobs)
        every = len(messages) // max(1, jobs // ROW)
        mixed: list[str] = []
        for number, message in enumerate(messages):
            if number % every == 0:
                mixed += [rows.pop(0) for _ in range(min(ROW, len(rows)))]
            mixed.append(message)
        plain.push([*messages, plain.end_message("all")])
        bridged.push([*mixed, *rows, bridged.end_message("all")])
        for shop in (plain, bridged):
            shop.worker()
        for shop in (plain, bridged):
            shop.wait_for(lambda shop=shop: shop.ended("all"), "all", timeout_s=timeout_s)
        bridged.wait_for(lambda: bridged.settled() == jobs, "all jobs are settled")
        blmpop = bridged.redis.info("commandstats")["cmdstat_blmpop"]["calls"]
        assert (
            blmpop < len(messages) + jobs * 0.9
        )  # it took several at once where jobs were in a row
        want, got = plain.outcome(), bridged.outcome()
        for place, (one, other) in enumerate(zip(want["loop"], got["loop"], strict=False)):
            assert one == other, (
                f"seed {seed}, note {place}: {one} without, {other} with the bridge"
            )
        for what, one in want.items():
            assert one == got[what], f"seed {seed}, {what}: {differing(one, got[what])}"
        assert bridged.jobs_run() == [f"job-{number}" for number in range(jobs)]
        assert all(len(shop.workers) == 1 and shop.workers[0].alive for shop in (plain, bridged))
