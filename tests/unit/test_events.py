"""The bootstep that gathers task events, where there are none."""

from __future__ import annotations

from types import SimpleNamespace

from bridge.events import GatherEvents


def test_a_worker_without_events_starts():
    """Celery has no dispatcher then: worker_send_task_events off, no gossip and no heartbeat."""
    consumer = SimpleNamespace(
        hub=object(), event_dispatcher=None, on_send_event_buffered=lambda: None
    )
    step = GatherEvents(consumer)
    step.start(consumer)
    step.stop(consumer)
