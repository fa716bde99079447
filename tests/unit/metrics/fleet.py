"""A fleet for the tests of metrics."""

from __future__ import annotations

from bridge.store import ActivityStatus, Status, WorkerStatus

STATUS = Status(
    activities=[
        ActivityStatus(
            "resize",
            in_flight=10,
            queued=5,
            running=4,
            outbox=1,
            lost=1,
            polls=3,
            oldest_s=42.5,
            succeeded=10,
            failed=2,
            waiting_in={"celery": 1, "old": 1},
            countdown=2,
            held_back=1,
            fresh=2,
            idle=1,
        ),
        ActivityStatus(
            "gone", in_flight=1, queued=1, running=0, outbox=0, lost=0, polls=0, oldest_s=None
        ),
    ],
    workers=[
        WorkerStatus("w1", 6, ("celery",), 3, 10.0, ordinary=1, unwanted=1, offered=4, used=3),
        WorkerStatus("w0", 0, ("celery",), 2, 10.0),
        WorkerStatus("w2", 8, ("celery", "other"), 1, -2.0),
        WorkerStatus("beat", 8, ("bridge.system",), 0, 10.0),
    ],
    pollers=["p1", "p2"],
    passes={"heartbeat": 0.5},
    outbox_s=3.0,
)


class FakeActivity:
    queue = "celery"
