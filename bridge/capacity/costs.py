"""What was measured: ``costs.json``, which ``python -m bench.costs`` makes of a bench's run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Costs:
    """What a task, a heartbeat, a claim and a poll cost.

    Attributes:
        measured: Date, machine and versions, for people.
        poller_task_ms: CPU of the poller's process a task: poll, store, publish, report.
        worker_task_ms: CPU of the worker around a task that does nothing.
        valkey_task_ms: CPU of the store and broker a task.
        beat_heartbeat_ms: CPU of the beat process a heartbeat.
        valkey_heartbeat_ms: CPU of the store a heartbeat.
        claim_bytes: Redis of a claim in flight, without token, input and message.
        token_bytes: Of a task token.
        message_bytes: Redis of a job's message, without its argument.
        closed_claim_bytes: Redis of a claim that is closed and still remembered.
        poller_rss_mb: Memory of a poller at rest.
        poll_rss_kb: Memory of an open poll.
        beat_rss_mb: Memory of a beat process.
    """

    measured: dict[str, Any]
    poller_task_ms: float
    worker_task_ms: float
    valkey_task_ms: float
    beat_heartbeat_ms: float
    valkey_heartbeat_ms: float
    claim_bytes: float
    token_bytes: float
    message_bytes: float
    closed_claim_bytes: float
    poller_rss_mb: float
    poll_rss_kb: float
    beat_rss_mb: float

    @classmethod
    def load(cls) -> Costs:
        """The figures that the package brings."""
        text = (files("bridge.capacity") / "costs.json").read_text("utf-8")
        return cls(**json.loads(text))
