"""The claim store: the only place that talks to the Redis of the claims; it owns every key.

``jobs`` is what workers need (blocking, since Celery's tasks are), ``claims`` what the processes
with AWS credentials need (asyncio), ``status`` what people ask. No method stands in two of them.
Each is a typed method around one script of ``bridge/lua``, where keys and clocks are explained.
"""

from bridge.store.claims import Beat, ClaimStore, DueHeartbeats, DueReports, Report, Wish
from bridge.store.jobs import JobStore, Lost, Settled, Start
from bridge.store.status import ActivityStatus, Status, StatusReader, WorkerStatus

__all__ = [
    "ActivityStatus",
    "Beat",
    "ClaimStore",
    "DueHeartbeats",
    "DueReports",
    "JobStore",
    "Lost",
    "Report",
    "Settled",
    "Start",
    "Status",
    "StatusReader",
    "Wish",
    "WorkerStatus",
]
