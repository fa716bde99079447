"""Each reason why nothing more of an activity is claimed, in sentences with numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.store import OpenPolls, PollRefusal, Room
from tests.unit.cli.status.why.fleets import (
    BUSY,
    DRAINS,
    FULL,
    GPU,
    IDLE,
    LOST,
    QUIET,
    WORKER,
    answer,
    said,
)


class TestReasons:
    def test_no_room(self):
        found = answer(FULL, WORKER, row=BUSY)
        assert (found.reason, found.attention) == ("no room", False)
        assert " ".join(found.sentences) == (
            "resize-image: 3 claims run, 1 waits. 1 live worker serves its queue celery, with 4 "
            "slots: claims occupy 2, ordinary tasks 2; none is free. The waiting room takes 1 "
            "claim (BRIDGE_LOOK_AHEAD=1.25 × 2 slots that nothing else occupies, rounded up, less "
            "2 in which claims run). It is full: 1 claim waits, or may come with a poll that is "
            "open. No poll is opened until a claim ends or one of the other jobs ends."
        )
        assert "a queue and workers of its own" in found.remedy

    def test_no_room_though_no_claim_runs(self):
        """Ordinary tasks, and jobs that run on though their claim is closed."""
        taken = replace(WORKER, running=0, ordinary=3, unwanted=1, offered=0, used=0)
        text = said(Room(PollRefusal.NO_ROOM, slots=4, workers=1), taken)
        assert "no claim runs" in text
        assert "ordinary tasks 3, jobs that run on though their claim is closed 1" in text
        assert "takes 0 claims (BRIDGE_LOOK_AHEAD=1.25 × 0 slots" in text
        assert "until one of the other jobs ends" in text

    def test_no_room_for_short_jobs(self):
        room = replace(FULL, short=True, longest_s=0.02, time_room_s=0.5, time_used_s=0.5)
        text = said(room, WORKER, row=BUSY)
        assert "Its jobs are short (20 ms at most lately), so 500 ms of work may wait" in text
        assert "BRIDGE_LOOK_AHEAD_S=0.25" in text
        assert "500 ms are taken" in text

    def test_what_makes_room(self):
        polls = [OpenPolls("p", "mail", "celery", 1, 0)]
        text = said(replace(FULL, offered=4, used=0, charged=5), IDLE, polls=polls)
        assert "with 4 slots, all free." in text
        assert text.endswith("until a claim ends or a fresh poll becomes idle.")

    def test_polls_that_are_open_still(self):
        row = replace(BUSY, polls=3, fresh=2, idle=1)
        assert "3 polls are still open (2 fresh, 1 idle)" in said(FULL, WORKER, row=row)

    def test_no_worker(self):
        found = answer(Room(PollRefusal.NO_WORKER), GPU, LOST)
        assert (found.reason, found.attention) == ("no worker", True)
        text = found.sentences[-1]
        assert "No live worker serves its queue celery. Other queues are served: gpu." in text
        assert found.remedy.endswith("worker -Q celery")

    def test_none_but_workers_that_drain(self):
        """Their lease goes on, so the ledger may know of their queue still."""
        found = answer(replace(FULL, offered=0, used=0, waiting_room=0), DRAINS)
        assert (found.reason, found.attention) == ("no worker", True)
        assert len(found.facts.draining) == 1
        assert found.sentences[-1].startswith(
            "The 1 live worker that serves its queue celery drains and gets no new job."
        )

    def test_workers_that_drain_beside_others(self):
        text = said(FULL, WORKER, DRAINS, row=BUSY)
        assert "1 more drains and gets no new job; what runs there (3 claims)" in text

    def test_no_poller(self):
        found = answer(Room(PollRefusal.NONE), IDLE, pollers=())
        assert (found.reason, found.attention) == ("no poller", True)
        assert found.sentences[-1] == "No poller is alive, so nothing is claimed."
        assert found.remedy.endswith(" poll")

    def test_neither_worker_nor_poller(self):
        found = answer(Room(PollRefusal.NO_WORKER), pollers=())
        assert (found.reason, found.attention) == ("no worker", True)
        assert "No poller is alive" in found.sentences[-1]
        assert "Start a worker" in found.remedy
        assert "Start a poller" in found.remedy

    def test_covered(self):
        found = answer(Room(PollRefusal.COVERED), IDLE, row=replace(QUIET, polls=1, idle=1))
        assert (found.reason, found.attention) == ("idle poll", False)
        assert "An idle poll is open: Step Functions has no task waiting" in found.sentences[-1]
        assert "All is well" in found.sentences[-1]

    def test_covered_by_the_first_poll_of_another_poller(self):
        """While it is fresh no other poller opens its first one."""
        found = answer(Room(PollRefusal.COVERED), IDLE, row=replace(QUIET, polls=1, fresh=1))
        assert (found.reason, found.attention) == ("fresh poll", False)

    def test_throttled(self):
        found = answer(Room(PollRefusal.THROTTLED), IDLE)
        assert (found.reason, found.attention) == ("throttled", False)
        assert "throttles reports or heartbeats" in found.sentences[-1]

    def test_held_back(self):
        row = replace(QUIET, in_flight=1, queued=1, held_back=1)
        found = answer(Room(PollRefusal.HELD_BACK), IDLE, row=row)
        assert (found.reason, found.attention) == ("held back", False)
        text = " ".join(found.sentences)
        assert "1 is held back for a rate_limit" in text
        assert "1 claim back for the rate_limit of task tasks.resize (6/m)" in text

    def test_share(self):
        found = answer(Room(PollRefusal.SHARE), IDLE, pollers=("p", "q"))
        assert found.reason == "share"
        assert "2 pollers share in equal parts" in found.sentences[-1]

    def test_a_fresh_poll(self):
        found = answer(Room(PollRefusal.NONE), IDLE, row=replace(QUIET, polls=1, fresh=1))
        assert (found.reason, found.attention) == ("fresh poll", False)

    def test_no_poller_polls_it(self):
        found = answer(Room(PollRefusal.NONE), IDLE)
        assert (found.reason, found.attention) == ("not polled", True)
        assert "1 poller is alive. Yet no poll is open on this activity" in found.sentences[-1]
        assert "restart it" in found.remedy

    @pytest.mark.parametrize("refusal", PollRefusal)
    def test_each_refusal_has_its_sentences(self, refusal):
        found = answer(
            Room(refusal), IDLE, row=replace(QUIET, idle=int(refusal is PollRefusal.COVERED))
        )
        assert found.as_json()["refusal"] == refusal
        assert (found.reason != "not polled") == (refusal is not PollRefusal.NONE)
