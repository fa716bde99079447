"""How things stand with an activity, in sentences."""

from __future__ import annotations

from dataclasses import replace

from bridge.store import OpenPolls, PollRefusal, Room
from tests.unit.cli.status.why.fleets import (
    FULL,
    GPU,
    IDLE,
    QUIET,
    WORKER,
    said,
)


class TestOtherQueues:
    def test_claims_that_wait_where_no_worker_is(self):
        row = replace(QUIET, in_flight=2, queued=2, waiting_in={"old": 2})
        assert "2 wait in queue old, which no live worker serves" in said(FULL, WORKER, row=row)
        row = replace(row, waiting_in={"gpu": 2})
        assert "2 wait in queue gpu." in said(FULL, WORKER, GPU, row=row)

    def test_a_poller_that_has_it_elsewhere(self):
        polls = [OpenPolls("p", "resize-image", "old", 0, 1), OpenPolls("p", "mail", "m", 0, 1)]
        text = said(Room(PollRefusal.NONE), IDLE, row=replace(QUIET, polls=1, idle=1), polls=polls)
        assert "A poller polls it for queue old, but in this app its queue is celery" in text
        assert "queue m," not in text
