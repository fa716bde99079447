"""Which task events of a worker are delayed and published together."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bridge.model import Job
from bridge.worker.batch_events import BatchEvents


def test_a_worker_without_task_events_starts():
    """Celery has no dispatcher then: worker_send_task_events off, no gossip and no heartbeat."""
    consumer = SimpleNamespace(
        hub=object(), event_dispatcher=None, on_send_event_buffered=lambda: None
    )
    step = BatchEvents(consumer)
    step.start(consumer)
    step.stop(consumer)


@pytest.mark.parametrize(
    ("uuid", "gathered"),
    [
        (Job("0123456789abcdef01234567", 1).id, True),
        ("5b9b2b5e-6d0a-4a35-9ed0-6b4a6b6e3b6e", False),
        (7, False),
        (None, False),
        ([], False),
    ],
)
def test_only_events_of_jobs_are_delayed(uuid, gathered):
    """An event of another task is published at once, together with what waits."""
    sent: list[str] = []
    hub = SimpleNamespace(call_soon=lambda call: sent.append("waits"))
    dispatcher = SimpleNamespace(_group_buffer={"task": [{"uuid": uuid}]})
    consumer = SimpleNamespace(
        hub=hub, event_dispatcher=dispatcher, on_send_event_buffered=lambda: sent.append("at once")
    )
    step = BatchEvents(consumer)
    step.start(consumer)
    consumer.on_send_event_buffered()
    assert sent == ["waits" if gathered else "at once"]


class JustPublished(list):
    """Celery's buffer, which the loop empties while a thread of the pool looks at it."""

    def __bool__(self) -> bool:
        self.clear()
        return True


@pytest.mark.parametrize("buffer", [[], JustPublished([{"uuid": "an ordinary task's"}])])
def test_an_event_that_the_loop_has_just_published_ends_no_task(buffer):
    """With --pool threads an exception here would keep the task from running."""
    sent: list[str] = []
    consumer = SimpleNamespace(
        hub=object(),
        event_dispatcher=SimpleNamespace(_group_buffer={"task": buffer}),
        on_send_event_buffered=lambda: sent.append("at once"),
    )
    BatchEvents(consumer)
    consumer.on_send_event_buffered()
    assert sent == ["at once"]
