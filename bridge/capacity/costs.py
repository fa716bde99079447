"""The measured costs: ``costs.json``, which ``python -m bench.costs`` makes from a benchmark."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Costs:
    """What a task, a heartbeat, a claim and a poll cost in CPU and memory.

    Attributes:
        measured: Date, machine and versions of the measurement, for people.
        poller_task_ms: CPU of the poller per task: poll, store, publish, report.
        worker_task_ms: CPU of the worker per task, for a task that does nothing.
        valkey_task_ms: CPU of Redis (store and broker) per task.
        beat_heartbeat_ms: CPU of the beat process per heartbeat.
        valkey_heartbeat_ms: CPU of Redis per heartbeat.
        claim_bytes: Redis memory of a claim in flight, without token, input and message.
        token_bytes: Size of a task token.
        message_bytes: Redis memory of a job's message, without its argument.
        closed_claim_bytes: Redis memory of a closed claim.
        poller_rss_mb: Memory of an idle poller.
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
        """Read the costs that are part of the package."""
        text = (files("bridge.capacity") / "costs.json").read_text("utf-8")
        return cls(**json.loads(text))
