"""The claim store: the only place that talks to the Redis of the claims; it owns every key.

``jobs`` is what workers need (blocking, since Celery's tasks are), ``claims`` what the processes
with AWS credentials need (asyncio), ``status`` what people ask. No method stands in two of them.
Each is a typed method around one script of ``store/lua``, where keys and clocks are explained.
"""

from bridge.store.claims import ClaimStore
from bridge.store.jobs import JobStore, Lost, Of, Renewal, Settled, Start
from bridge.store.records import (
    Beat,
    Closed,
    DueHeartbeats,
    DueReports,
    Ended,
    LostJob,
    Pass,
    PollRefusal,
    Report,
    Unfinished,
    Unstarted,
    Wish,
)
from bridge.store.schema import check_schema
from bridge.store.server import ServerInfo, describe_server
from bridge.store.status import (
    ActivityStatus,
    Occupancy,
    OpenPolls,
    Room,
    Status,
    StatusReader,
    WorkerStatus,
)

__all__ = [
    "ActivityStatus",
    "Beat",
    "ClaimStore",
    "Closed",
    "DueHeartbeats",
    "DueReports",
    "Ended",
    "JobStore",
    "Lost",
    "LostJob",
    "Occupancy",
    "Of",
    "OpenPolls",
    "Pass",
    "PollRefusal",
    "Renewal",
    "Report",
    "Room",
    "ServerInfo",
    "Settled",
    "Start",
    "Status",
    "StatusReader",
    "Unfinished",
    "Unstarted",
    "Wish",
    "WorkerStatus",
    "check_schema",
    "describe_server",
]
