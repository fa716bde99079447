"""Every reason why the bridge claims nothing more of an activity: its sentences and its remedy.

Without a worker or a poller the reason is clear. Otherwise the ledger's answer (``PollRefusal``)
decides; ``_LEDGER_REASONS`` has a function for each refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.cli.status.why.facts import Facts
from bridge.cli.status.why.situation import kinds_of_polls, open_polls
from bridge.cli.status.why.wording import counted, duration
from bridge.errors import app_name
from bridge.registry import SYSTEM_QUEUE
from bridge.store import PollRefusal

NOT_POLLED = "not polled"
"""There is room and no poll is open: normal for a moment, before a poller asks again."""


class Reason(NamedTuple):
    """Why nothing more of an activity is claimed.

    Attributes:
        name: Two words at most; see ``Answer.reason``.
        sentences: What prevents more claims, with numbers.
        remedy: What to do; empty if nothing has to be done.
        attention: Whether a person has to do something.
    """

    name: str
    sentences: list[str]
    remedy: str = ""
    attention: bool = False


def reasons(facts: Facts) -> list[Reason]:
    """The reasons, the most important one first; never empty."""
    missing = []
    if not facts.workers or facts.room.refusal is PollRefusal.NO_WORKER:
        missing.append(_no_worker(facts))
    if not facts.status.pollers:
        missing.append(_no_poller())
    return missing or [_LEDGER_REASONS[facts.room.refusal](facts)]


def _no_worker(facts: Facts) -> Reason:
    sentence = f"No live worker serves its queue {facts.queue}."
    if facts.draining:
        count = len(facts.draining)
        those = counted(count, "live worker that serves", "live workers that serve")
        drain = "drains and gets" if count == 1 else "drain and get"
        sentence = f"The {those} its queue {facts.queue} {drain} no new job."
    live = [worker for worker in facts.status.workers if worker.live and worker.slots]
    served = {queue for worker in live for queue in worker.queues}
    if others := sorted(served - {facts.queue, SYSTEM_QUEUE}):
        sentence += f" Other queues are served: {', '.join(others)}."
    sentence += " So no poll is opened: the time-outs of a task begin when it is claimed."
    remedy = f"Start a worker: celery -A {app_name()} worker -Q {facts.queue}"
    return Reason("no worker", [sentence], remedy, attention=True)


def _no_poller() -> Reason:
    sentence = "No poller is alive, so nothing is claimed."
    remedy = f"Start a poller: celery -A {app_name()} poll"
    return Reason("no poller", [sentence], remedy, attention=True)


def _throttled(facts: Facts) -> Reason:
    sentence = (
        "Step Functions throttles reports or heartbeats, which are sent before polls: no poll is "
        "opened in that region and account for some seconds."
    )
    remedy = (
        "If it lasts, send fewer heartbeats (heartbeat= of the tasks), or raise the quota: "
        f"celery -A {app_name()} capacity --help"
    )
    return Reason("throttled", [sentence, *open_polls(facts)], remedy)


def _held_back(facts: Facts) -> Reason:
    task = facts.activity.task
    limit = f" ({task.rate_limit})" if task.rate_limit else ""
    claims = counted(facts.row.held_back, "claim", "claims")
    sentence = (
        f"Workers hold {claims} back for the rate_limit of task {task.name}{limit}: no poll is "
        f"opened while as many are held back as live workers serve its queue "
        f"({max(1, len(facts.workers))})."
    )
    remedy = (
        "Nothing, if the limit is intended. It holds for each worker separately: raise it, or add "
        "workers."
    )
    return Reason("held back", [sentence, *open_polls(facts)], remedy)


def _covered(facts: Facts) -> Reason:
    if not facts.row.idle:  # the only poll is another poller's and fresh
        return _granted(facts)
    sentence = (
        "An idle poll is open: Step Functions has no task waiting for this activity, and hands the "
        "next one to that poll at once. All is well."
    )
    remedy = (
        "If an execution waits all the same, compare the Resource of its state with: "
        f"celery -A {app_name()} activities describe {facts.activity.name}"
    )
    return Reason("idle poll", [sentence], remedy)


def _no_room(facts: Facts) -> Reason:
    room, settings = facts.room, facts.settings
    sentences = [
        f"The waiting room takes {counted(room.waiting_room, 'claim', 'claims')} "
        f"(BRIDGE_LOOK_AHEAD={settings.look_ahead:g} × {counted(room.offered, 'slot', 'slots')} "
        f"that nothing else occupies, rounded up, less {room.used} in which claims run)."
    ]
    if room.charged:
        waits = counted(room.charged, "claim waits, or may come", "claims wait, or may come")
        sentences.append(f"It is full: {waits} with a poll that is open.")
    if room.short and room.longest_s is not None:
        sentences.append(
            f"Its jobs are short ({duration(room.longest_s)} at most lately), so "
            f"{duration(room.time_room_s)} of work may wait as well "
            f"(BRIDGE_LOOK_AHEAD_S={settings.look_ahead_s:g} for each slot that no long job "
            f"takes); {duration(room.time_used_s)} are taken."
        )
    sentences += [f"No poll is opened until {_what_makes_room(facts)}.", *open_polls(facts)]
    remedy = (
        "Nothing, if tasks may wait in Step Functions, where their time-outs have not begun. "
        "Else more slots (--concurrency, or more workers)"
    )
    if facts.occupancy.ordinary:
        remedy += ", or a queue and workers of its own (queue= of the task, worker -Q)"
    return Reason("no room", sentences, f"{remedy}.")


def _what_makes_room(facts: Facts) -> str:
    room = facts.room
    queues = {queue for worker in facts.workers for queue in worker.queues}
    events = ["a claim ends"] if room.used or room.offered == room.slots else []
    events += ["one of the other jobs ends"] if room.offered < room.slots else []
    if any(polls.fresh for polls in facts.status.polls if polls.queue in queues):
        events.append("a fresh poll becomes idle")
    return " or ".join(events)


def _share(facts: Facts) -> Reason:
    pollers = counted(len(facts.status.pollers), "poller", "pollers")
    sentence = (
        f"There is room, which {pollers} share in equal parts: one of them uses all of its part, "
        "and the others may open polls."
    )
    return Reason("share", [sentence, *open_polls(facts)])


def _granted(facts: Facts) -> Reason:
    if facts.row.polls:
        sentence = (
            f"There is room, and {counted(facts.row.polls, 'poll is', 'polls are')} open "
            f"({kinds_of_polls(facts)}): what Step Functions hands out is claimed."
        )
        return Reason("fresh poll" if facts.row.fresh else "idle poll", [sentence])
    pollers = counted(len(facts.status.pollers), "poller is alive", "pollers are alive")
    sentence = f"There is room, and {pollers}. Yet no poll is open on this activity."
    remedy = (
        "Look at the poller's log. If the poller was started before a task had this activity, or "
        "with other settings, restart it. Perhaps it drains, or Step Functions or Redis refuses "
        f"its calls: celery -A {app_name()} doctor"
    )
    return Reason(NOT_POLLED, [sentence], remedy, attention=True)


_LEDGER_REASONS: Mapping[PollRefusal, Callable[[Facts], Reason]] = {
    PollRefusal.THROTTLED: _throttled,
    PollRefusal.NO_WORKER: _no_worker,
    PollRefusal.HELD_BACK: _held_back,
    PollRefusal.COVERED: _covered,
    PollRefusal.NO_ROOM: _no_room,
    PollRefusal.SHARE: _share,
    PollRefusal.NONE: _granted,
}
