"""The claim store: the only room that talks to the claims' Redis. It owns every key there.

``JobStore`` is for workers (blocking, because Celery's tasks are), ``ClaimStore`` for the processes
with AWS credentials (asyncio), ``StatusReader`` for people and metrics. Each of their methods calls
one script of ``store/lua``; ``store/lua/_prelude.lua`` lists the keys and explains the clock.
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
from bridge.store.room import Room
from bridge.store.schema_check import check_schema
from bridge.store.server import ServerInfo, describe_server
from bridge.store.slot_usage import SlotUsage
from bridge.store.status import ActivityStatus, OpenPolls, Status, WorkerStatus
from bridge.store.status_reader import StatusReader

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
