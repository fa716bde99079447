"""Why nothing more of an activity is claimed, as the ledger sees it.

The store is asked what one more poll would be told (``Room``); the status has what occupies the
workers. Both are moments of a fleet that moves, so a sum may be off by one.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.cli.status.why.answer import NOT_POLLED, Answer
from bridge.errors import app_name
from bridge.registry import SYSTEM_QUEUE, Activity
from bridge.settings import Settings
from bridge.store import PollRefusal, Room, SlotUsage, Status


class _Reason(NamedTuple):
    name: str
    sentences: list[str]
    remedy: str = ""


def explain(activity: Activity, status: Status, room: Room, settings: Settings) -> Answer:
    """Why no more of ``activity`` is claimed, by what the store knows."""
    return _Explanation(activity, status, room, settings).answer()


def _n(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


class _Explanation:
    """The facts of one activity, and the sentences made of them."""

    def __init__(self, activity: Activity, status: Status, room: Room, settings: Settings) -> None:
        self.activity, self.status, self.room, self.settings = activity, status, room, settings
        self.queue = activity.queue
        (self.row,) = (row for row in status.activities if row.activity == activity.name)
        serving = [each for each in status.workers if each.live and self.queue in each.queues]
        self.draining = [worker for worker in serving if worker.draining]
        self.workers = [worker for worker in serving if not worker.draining]
        self.occupancy = SlotUsage.of(self.workers)

    def answer(self) -> Answer:
        problems = []
        if not self.workers or self.room.refusal is PollRefusal.NO_WORKER:
            problems.append(self._no_worker())
        if not self.status.pollers:
            problems.append(self._no_poller())
        reasons = problems or [self._refused()]
        sentences = [self._claims(), *self._elsewhere(), *self._of_workers()]
        return Answer(
            activity=self.row,
            queue=self.queue,
            room=self.room,
            occupancy=self.occupancy,
            draining=len(self.draining),
            pollers=len(self.status.pollers),
            reason=reasons[0].name,
            attention=bool(problems) or reasons[0].name == NOT_POLLED,
            sentences=(*sentences, *(said for each in reasons for said in each.sentences)),
            remedy=" ".join(each.remedy for each in reasons),
        )

    # What is so

    def _claims(self) -> str:
        row = self.row
        kinds = (
            (row.running, "claim runs", "claims run"),
            (row.waiting, "waits", "wait"),
            (row.countdown, "is in a retry's countdown", "are in a retry's countdown"),
            (row.held_back, "is held back for a rate_limit", "are held back for a rate_limit"),
            (row.outbox, "has ended and is to be reported", "have ended and are to be reported"),
        )
        parts = [_n(*kind) for kind in kinds if kind[0] or kind is kinds[0]]
        if not row.running:
            parts[0] = "no claim runs"
        lost = f" {row.lost} of those that run are on workers that died." if row.lost else ""
        return f"{row.activity}: {', '.join(parts)}.{lost}"

    def _elsewhere(self) -> list[str]:
        """Messages, and pollers, that have the activity under another queue."""
        said = []
        for queue, count in self.row.waiting_in.items():
            if queue != self.queue:
                served = any(each.live and queue in each.queues for each in self.status.workers)
                unserved = "" if served else ", which no live worker serves"
                said.append(f"{_n(count, 'waits', 'wait')} in queue {queue}{unserved}.")
        polled = [each.queue for each in self.status.polls if each.activity == self.activity.name]
        said += [
            f"A poller polls it for queue {queue}, and here its queue is {self.queue}: restart the "
            "pollers if it has been moved."
            for queue in dict.fromkeys(polled)
            if queue != self.queue
        ]
        return said

    def _of_workers(self) -> list[str]:
        """What occupies the workers of its queue; where there is none, the reason says so."""
        if not self.workers:
            return []
        found = self.occupancy
        parts = [f"claims occupy {found.claims}"] if found.claims else []
        if found.ordinary:
            parts.append(f"ordinary tasks {found.ordinary}")
        if found.unwanted:
            parts.append(f"jobs that run on though their claim is closed {found.unwanted}")
        free = _n(found.free, "is free", "are free") if found.free else "none is free"
        occupied = f": {', '.join(parts)}; {free}" if parts else ", all free"
        said = [
            f"{_n(len(self.workers), 'live worker serves', 'live workers serve')} its queue "
            f"{self.queue}, with {_n(found.slots, 'slot', 'slots')}{occupied}."
        ]
        if self.draining:
            running = sum(worker.running for worker in self.draining)
            do = "more drains and gets" if len(self.draining) == 1 else "more drain and get"
            said.append(
                f"{len(self.draining)} {do} no new job; what runs there "
                f"({_n(running, 'claim', 'claims')}) takes no room."
            )
        return said

    def _polls(self) -> list[str]:
        """Polls that are open although no further one is opened."""
        if not self.row.polls:
            return []
        return [
            f"{_n(self.row.polls, 'poll is', 'polls are')} open still ({self._kinds()}): a task "
            "that comes meanwhile is claimed all the same."
        ]

    def _kinds(self) -> str:
        kinds = {"fresh": self.row.fresh, "idle": self.row.idle}
        return ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)

    # Why nothing more is claimed

    def _no_worker(self) -> _Reason:
        said = f"No live worker serves its queue {self.queue}."
        if self.draining:
            those = _n(len(self.draining), "live worker that serves", "live workers that serve")
            do = "drains and gets" if len(self.draining) == 1 else "drain and get"
            said = f"The {those} its queue {self.queue} {do} no new job."
        live = [each for each in self.status.workers if each.live and each.slots]
        served = {queue for each in live for queue in each.queues}
        if others := sorted(served - {self.queue, SYSTEM_QUEUE}):
            said += f" Other queues are served: {', '.join(others)}."
        said += " So no poll is opened: the time-outs of a task begin when it is claimed."
        remedy = f"Start a worker: celery -A {app_name()} worker -Q {self.queue}"
        return _Reason("no worker", [said], remedy)

    def _no_poller(self) -> _Reason:
        remedy = f"Start a poller: celery -A {app_name()} poll"
        return _Reason("no poller", ["No poller is alive, so nothing is claimed."], remedy)

    def _refused(self) -> _Reason:
        """By the ledger, while workers and a poller are there."""
        match self.room.refusal:
            case PollRefusal.THROTTLED:
                return self._throttled()
            case PollRefusal.HELD_BACK:
                return self._held_back()
            case PollRefusal.COVERED if self.row.idle:
                return self._covered()
            case PollRefusal.NO_ROOM:
                return self._no_room()
            case PollRefusal.SHARE:
                return self._share()
            case _:
                return self._granted()

    def _throttled(self) -> _Reason:
        said = (
            "Step Functions throttles reports or heartbeats, which come before polls: no poll is "
            "opened in that region and account for some seconds."
        )
        remedy = (
            "If it lasts, send fewer heartbeats (heartbeat= of the tasks), or raise the quota: "
            f"celery -A {app_name()} capacity --help"
        )
        return _Reason("throttled", [said, *self._polls()], remedy)

    def _held_back(self) -> _Reason:
        task = self.activity.task
        limit = f" ({task.rate_limit})" if task.rate_limit else ""
        said = (
            f"Workers hold {_n(self.row.held_back, 'claim', 'claims')} back for the rate_limit of "
            f"task {task.name}{limit}: no poll is opened while they are as many as the live "
            f"workers of its queue ({max(1, len(self.workers))})."
        )
        remedy = (
            "Nothing, if the limit is meant. It holds for each worker: raise it, or add workers."
        )
        return _Reason("held back", [said, *self._polls()], remedy)

    def _covered(self) -> _Reason:
        said = (
            "An idle poll is open: Step Functions has no task waiting for this activity, and hands "
            "the next one to that poll at once. All is well."
        )
        remedy = (
            "If an execution waits all the same, compare the Resource of its state with: "
            f"celery -A {app_name()} activities describe {self.activity.name}"
        )
        return _Reason("idle poll", [said], remedy)

    def _no_room(self) -> _Reason:
        room, settings = self.room, self.settings
        said = [
            f"The waiting room takes {_n(room.waiting_room, 'claim', 'claims')} "
            f"(BRIDGE_LOOK_AHEAD={settings.look_ahead:g} × {_n(room.offered, 'slot', 'slots')} "
            f"that nothing else occupies, rounded up, less {room.used} in which claims run)."
        ]
        if room.charged:
            waits = _n(room.charged, "claim waits, or may come", "claims wait, or may come")
            said.append(f"It is full: {waits} with a poll that is open.")
        if room.short and room.longest_s is not None:
            said.append(
                f"Its jobs are short ({_span(room.longest_s)} at most lately), so "
                f"{_span(room.time_room_s)} of work may wait as well "
                f"(BRIDGE_LOOK_AHEAD_S={settings.look_ahead_s:g} for each slot that no long job "
                f"takes); {_span(room.time_used_s)} are taken."
            )
        said += [f"No poll is opened until {self._what_makes_room()}.", *self._polls()]
        remedy = (
            "Nothing, if tasks may wait in Step Functions, where their time-outs have not begun. "
            "Else more slots (--concurrency, or more workers)"
        )
        if self.occupancy.ordinary:
            remedy += ", or a queue and workers of its own (queue= of the task, worker -Q)"
        return _Reason("no room", said, f"{remedy}.")

    def _what_makes_room(self) -> str:
        room = self.room
        queues = {queue for worker in self.workers for queue in worker.queues}
        events = ["a claim ends"] if room.used or room.offered == room.slots else []
        events += ["one of the other jobs ends"] if room.offered < room.slots else []
        if any(each.fresh for each in self.status.polls if each.queue in queues):
            events.append("a fresh poll becomes idle")
        return " or ".join(events)

    def _share(self) -> _Reason:
        said = (
            f"There is room, which {_n(len(self.status.pollers), 'poller', 'pollers')} share in "
            "equal parts: one has its part, and the others may open polls."
        )
        return _Reason("share", [said, *self._polls()])

    def _granted(self) -> _Reason:
        if self.row.polls:
            said = (
                f"There is room, and {_n(self.row.polls, 'poll is', 'polls are')} open "
                f"({self._kinds()}): what Step Functions hands out is claimed."
            )
            return _Reason("fresh poll" if self.row.fresh else "idle poll", [said])
        pollers = _n(len(self.status.pollers), "poller is alive", "pollers are alive")
        said = f"There is room, and {pollers}. Yet no poll is open on this activity."
        remedy = (
            "Look at the poller's log. It was started before a task had this activity, or with "
            "other settings (then restart it); or it drains; or Step Functions or Redis refuses "
            f"what it asks (celery -A {app_name()} doctor)."
        )
        return _Reason(NOT_POLLED, [said], remedy)
