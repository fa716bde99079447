"""Publish the bridge's ticks from Celery's beat, which imports these schedulers by name.

The schedule is kept in memory and follows the monotonic clock. So there is no file to share, and
ticks go on when a host's clock is set back.
"""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from billiard import current_process
from celery.beat import Scheduler, SchedulingError

from bridge.app_state import installed
from bridge.errors import app_name
from bridge.processes.ticks import periods_s
from bridge.registry import SYSTEM_QUEUE

logger = logging.getLogger(__name__)


class _NoEvents:
    """Replaces Celery's dispatcher of ``task-sent`` events for ticks.

    Three events in each tick interval would hide the app's own in Flower.
    """

    def publish(self, *args: Any, **kwargs: Any) -> None:
        """Publish no event."""


class TicksBesideSchedule(Scheduler):  # type: ignore[misc]
    """Publishes the ticks and the app's ``beat_schedule``, for ``celery -A bridge beat``."""

    # redbeat, where an app imports it, asks every scheduler for the name of its lock.
    lock_key = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._due_s: dict[str, float] | None = None
        self._not_before_s = float("-inf")
        # The process id of the worker that started this beat; 0: it is a command of its own.
        self._worker_pid = 0 if current_process().name == "MainProcess" else os.getppid()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Publish what is due; seconds until this is to be called again.

        Raises:
            SystemExit: The worker that started this beat was killed, and could not end it.
        """
        if self._worker_pid not in (0, os.getppid()):
            logger.warning("the worker of this beat, process %d, is gone", self._worker_pid)
            raise SystemExit
        return float(min(self._publish_due(), super().tick(*args, **kwargs)))

    def _publish_due(self) -> float:
        settings = installed(self.app).settings
        periods = periods_s(settings)
        now_s = time.monotonic()
        if self._due_s is None:
            self._due_s = {name: now_s + period_s for name, period_s in periods.items()}
        # The tick that has been due for longest comes first, so that none waits for ever.
        for name, due_s in sorted(self._due_s.items(), key=lambda item: item[1]):
            if max(due_s, self._not_before_s) > now_s:
                break
            if not self._publish(name, periods[name]):
                self._not_before_s = now_s + settings.tick_s
                break
            # In step with the period; but never several at once after a publication that took long.
            self._due_s[name] = max(due_s + periods[name], now_s)
        due_s = max(min(self._due_s.values()), self._not_before_s)
        return max(0.0, due_s - time.monotonic())

    def _publish(self, name: str, period_s: float) -> bool:
        options = {"queue": SYSTEM_QUEUE, "event_dispatcher": _NoEvents()}
        entry = self.Entry(name=name, task=name, schedule=period_s, options=options, app=self.app)
        try:
            return self.apply_async(entry, producer=self.producer, advance=False) is not None
        except SchedulingError as exc:
            logger.warning("%s; the scheduler tries again after a tick interval", exc)
            return False


class TickScheduler(TicksBesideSchedule):
    """Publishes the ticks only: the app's own periodic tasks are left to the app's own beat."""

    def setup_schedule(self) -> None:
        """Take nothing from the app's schedule."""
        periods = periods_s(installed(self.app).settings)
        said = ", ".join(f"{name} every {period_s:g} s" for name, period_s in periods.items())
        logger.info("publishes %s, and nothing else", said)
        own = sorted(self.app.conf.beat_schedule)
        if own:
            logger.info(
                "periodic tasks of the app (%s) are published by its own beat, not here: "
                "celery -A %s beat",
                ", ".join(own),
                app_name(),
            )
