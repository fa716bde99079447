"""The claim store: the only place that talks to the Redis of the claims; it owns every key.

``jobs`` is what workers need (blocking, since Celery's tasks are), ``claims`` what the processes
with AWS credentials need (asyncio), ``status`` what people ask. No method stands in two of them.
Each is a typed method around one script of ``store/lua``, where keys and clocks are explained.
"""

from bridge.store.claims import ClaimStore
from bridge.store.jobs import Delivery, JobStore, Recovery, Renewal, Settled, Start
from bridge.store.records import (
    ClosedClaims,
    DueHeartbeat,
    DueHeartbeats,
    DueReports,
    EndedClaim,
    LostJob,
    PassKind,
    PendingReport,
    PollRefusal,
    UnfinishedJob,
    UnstartedClaim,
    Wish,
)
from bridge.store.schema import check_schema
from bridge.store.server import ServerInfo, describe_server
from bridge.store.status import (
    ActivityStatus,
    OpenPolls,
    Room,
    SlotUsage,
    Status,
    StatusReader,
    WorkerStatus,
)

__all__ = [
    "ActivityStatus",
    "ClaimStore",
    "ClosedClaims",
    "Delivery",
    "DueHeartbeat",
    "DueHeartbeats",
    "DueReports",
    "EndedClaim",
    "JobStore",
    "LostJob",
    "OpenPolls",
    "PassKind",
    "PendingReport",
    "PollRefusal",
    "Recovery",
    "Renewal",
    "Room",
    "ServerInfo",
    "Settled",
    "SlotUsage",
    "Start",
    "Status",
    "StatusReader",
    "UnfinishedJob",
    "UnstartedClaim",
    "Wish",
    "WorkerStatus",
    "check_schema",
    "describe_server",
]
