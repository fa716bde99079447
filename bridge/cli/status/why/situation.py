"""Describe in sentences how things stand with an activity: its claims, its polls, its workers."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.cli.status.why.facts import Facts
from bridge.cli.status.why.wording import counted


def situation(facts: Facts) -> list[str]:
    """The sentences that come before the reasons."""
    return [_claims(facts), *_other_queues(facts), *_workers(facts)]


def _claims(facts: Facts) -> str:
    row = facts.row
    kinds = (
        (row.waiting, "waits", "wait"),
        (row.countdown, "is in a retry's countdown", "are in a retry's countdown"),
        (row.held_back, "is held back for a rate_limit", "are held back for a rate_limit"),
        (row.outbox, "has ended and is to be reported", "have ended and are to be reported"),
    )
    running = counted(row.running, "claim runs", "claims run") if row.running else "no claim runs"
    others = [counted(count, one, many) for count, one, many in kinds if count]
    lost = f" {row.lost} of those that run are on workers that died." if row.lost else ""
    return f"{row.activity}: {', '.join([running, *others])}.{lost}"


def _other_queues(facts: Facts) -> Iterator[str]:
    """Claims that wait in another queue, and pollers that know the activity with another queue."""
    status = facts.status
    for queue, count in facts.row.waiting_in.items():
        if queue != facts.queue:
            served = any(worker.live and queue in worker.queues for worker in status.workers)
            unserved = "" if served else ", which no live worker serves"
            yield f"{counted(count, 'waits', 'wait')} in queue {queue}{unserved}."
    polled = [polls.queue for polls in status.polls if polls.activity == facts.activity.name]
    for queue in dict.fromkeys(polled):
        if queue != facts.queue:
            yield (
                f"A poller polls it for queue {queue}, but in this app its queue is {facts.queue}: "
                "restart the pollers if it has been moved."
            )


def _workers(facts: Facts) -> Iterator[str]:
    """What occupies the workers of its queue. If there are none, the reason says so."""
    if not facts.workers:
        return
    found = facts.occupancy
    parts = [f"claims occupy {found.claims}"] if found.claims else []
    if found.ordinary:
        parts.append(f"ordinary tasks {found.ordinary}")
    if found.unwanted:
        parts.append(f"jobs that run on though their claim is closed {found.unwanted}")
    free = counted(found.free, "is free", "are free") if found.free else "none is free"
    occupied = f": {', '.join(parts)}; {free}" if parts else ", all free"
    serve = counted(len(facts.workers), "live worker serves", "live workers serve")
    slots = counted(found.slots, "slot", "slots")
    yield f"{serve} its queue {facts.queue}, with {slots}{occupied}."
    if facts.draining:
        drain = counted(len(facts.draining), "more drains and gets", "more drain and get")
        running = sum(worker.running for worker in facts.draining)
        claims = counted(running, "claim", "claims")
        yield f"{drain} no new job; what runs there ({claims}) takes no room."


def open_polls(facts: Facts) -> list[str]:
    """The polls that are open although no further one is opened."""
    if not facts.row.polls:
        return []
    polls = counted(facts.row.polls, "poll is", "polls are")
    return [f"{polls} still open ({kinds_of_polls(facts)}) and may bring a task."]


def kinds_of_polls(facts: Facts) -> str:
    """Such as ``2 fresh, 1 idle``."""
    kinds = {"fresh": facts.row.fresh, "idle": facts.row.idle}
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
