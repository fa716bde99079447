"""Make a worker with ``-B`` that serves ``bridge.system`` publish the ticks."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps
from celery.utils.imports import load_extension_class_names, symbol_by_name
from celery.utils.nodenames import worker_direct

from bridge.registry import SYSTEM_QUEUE

logger = logging.getLogger(__name__)

SCHEDULER = "bridge.processes.tick_scheduler:TickScheduler"
IGNORED = (
    "--scheduler %s is not used: a worker with -B that serves %s alone publishes the bridge's "
    "ticks only. Start the app's own beat as a process of its own."
)


class PublishTicks(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: give the beat process its scheduler.

    Celery's own step starts beat for ``-B`` after all steps have been initialized, with the
    scheduler that ``worker.scheduler`` names then. So a worker that serves ``bridge.system`` alone
    gets the bridge's scheduler instead of the app's. A worker that serves the app's queues too is
    also the app's own beat: it keeps its scheduler, and the bridge's runs in a process beside it.
    """

    label = "Ticks"
    conditional = True

    def __init__(self, worker: Any, beat: bool = False, **kwargs: Any) -> None:
        super().__init__(worker, beat=beat, **kwargs)
        self.enabled = False
        served = {*worker.app.amqp.queues.consume_from}
        if SYSTEM_QUEUE not in served:
            return
        alone = served <= {SYSTEM_QUEUE, worker_direct(worker.hostname).name}
        if alone:
            # Few ticks are prefetched. They do not count among those that wait in the queue, but
            # return to it if this worker is killed, in addition to the five that may wait there.
            worker.prefetch_multiplier = 1
            # This process is the bridge's own. With --pool threads it may hang after a restart of
            # RabbitMQ when Celery restores the prefetch count, and then no heartbeat would be sent
            # (see bridge.worker.prefetch).
            worker.app.conf.worker_enable_prefetch_count_reduction = False
        if beat and alone:
            if kwargs.get("scheduler"):
                logger.warning(IGNORED, kwargs["scheduler"], SYSTEM_QUEUE)
            worker.scheduler = SCHEDULER
        elif beat:
            self.enabled = not _publishes_ticks(worker.scheduler)

    def create(self, worker: Any) -> Any:
        """Make a beat process for the ticks, as Celery's own step makes the app's."""
        from celery.beat import EmbeddedService

        return EmbeddedService(worker.app, scheduler_cls=SCHEDULER)


def _publishes_ticks(scheduler: Any) -> bool:
    # Imported here and not above, so that a worker without -B does not load Celery's beat.
    from bridge.processes.tick_scheduler import TicksBesideSchedule

    aliases = dict(load_extension_class_names("celery.beat_schedulers"))
    return issubclass(symbol_by_name(scheduler, aliases=aliases), TicksBesideSchedule)
