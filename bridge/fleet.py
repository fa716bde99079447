"""What a worker tells the fleet: its slots, its queues, and that it lives (its lease).

A thread of the worker's parent process renews the lease until the process exits: in a warm shutdown
the pool still runs jobs long after Celery has stopped the worker's timers.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterable
from typing import Any

from celery import bootsteps
from celery.worker import state
from kombu.exceptions import OperationalError

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.installation import Installation, adopt_worker_id, installed, pool_of
from bridge.model import Job, Outcome
from bridge.publish_errors import Seldom
from bridge.registry import ACTIVITY_HEADER, SYSTEM_QUEUE
from bridge.store import check_schema
from bridge.versions import log_off

logger = logging.getLogger(__name__)

LEAVE_TIMEOUT_S = 6.0
"""How long a worker that ends waits for a renewal of its lease that is on its way."""


class Fleet(bootsteps.StartStopStep):  # type: ignore[misc]
    """Worker bootstep: checks the registry, chooses the queues, keeps the lease."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        bridge = installed(worker.app)
        log_off(logger)
        _choose_queues(worker.app, bridge)
        _refuse_other_schema(worker.app, bridge)
        _warn_of_pool(worker, bridge)
        self.lease = Lease(bridge, worker)

    def start(self, worker: Any) -> None:
        """After the pool has forked: a thread before it would be a hazard in the children."""
        self.lease.start()

    def stop(self, worker: Any) -> None:
        """Draining: the lease goes on, the slots do not."""
        self.lease.drain()

    terminate = stop


def _choose_queues(app: Any, bridge: Installation) -> None:
    """Without -Q: never the bridge's own, and for ``celery -A bridge`` every activity's queue.

    Another app's worker serves what it served before: in the queue of an activity there may be
    ordinary tasks, which are for the workers that the app has for them.
    """
    queues = app.amqp.queues
    # The only sign that -Q was given, inside Celery; without it a worker serves what Celery says.
    if getattr(queues, "_consume_from", ()) is not None:
        return
    if bridge.imports_tasks:
        names = {*queues.consume_from, *bridge.registry.queues} - {SYSTEM_QUEUE}
        queues.select(sorted(names))
    elif SYSTEM_QUEUE in queues.consume_from:
        queues.deselect(SYSTEM_QUEUE)


def _refuse_other_schema(app: Any, bridge: Installation) -> None:
    """A worker for activities does not start beside one of another version.

    One that serves ordinary queues only goes on without a lease: its tasks need none. A store that
    is away is looked at again when the lease is renewed.

    Raises:
        SchemaMismatch: Another version of the bridge uses the store.
    """
    try:
        check_schema(bridge.settings)
    except StoreUnavailable as exc:
        logger.info("the store's schema is not known yet: %s", exc)
    except SchemaMismatch as exc:
        if {*bridge.registry.queues, SYSTEM_QUEUE} & {*app.amqp.queues.consume_from}:
            raise
        logger.warning("this worker serves no activity: %s", exc)


def _warn_of_pool(worker: Any, bridge: Installation) -> None:
    """Celery ignores silently what the pool cannot do."""
    pool = pool_of(worker)
    if pool == "prefork":
        return
    for activity in bridge.registry.values():
        limits = ["soft_time_limit"] if activity.task.soft_time_limit else []
        if activity.task.time_limit and pool != "gevent":
            limits.append("time_limit")
        if activity.terminate_on_cancel and pool not in ("gevent", "eventlet"):
            logger.warning(
                "activity %s: Celery's %s pool cannot terminate a job, so terminate_on_cancel of "
                "task %s has no effect; use --pool prefork, or ask bridge.current().cancelled",
                activity.name, pool, activity.task.name)  # fmt: skip
        if limits:
            logger.warning(
                "activity %s: Celery's %s pool ignores %s of task %s; use --pool prefork, or "
                "TimeoutSeconds of the state",
                activity.name, pool, " and ".join(limits), activity.task.name)  # fmt: skip


class Lease:
    """One worker's lease, renewed every third of its time."""

    def __init__(self, bridge: Installation, worker: Any) -> None:
        self._bridge = bridge
        self._worker = worker
        self._id = adopt_worker_id(worker.hostname)
        self._draining = False
        self._ended = False
        self._pid = os.getpid()
        self._unwanted: frozenset[str] = frozenset()
        self._wake = threading.Event()
        self._seldom = Seldom(logger)
        self._interval_s = bridge.settings.lease_s / 3

    def start(self) -> None:
        """Announce the worker, now and for as long as the process lives."""
        self._thread = threading.Thread(
            target=self._renew_for_ever, name="bridge-lease", daemon=True
        )
        self._thread.start()
        # At exit, after every kind of shutdown, nothing runs any more in any pool: children are
        # gone, threads have been joined. A killed worker's lease ends by itself.
        atexit.register(self._leave)

    def drain(self) -> None:
        """Announce no slots any more; what runs goes on."""
        self._draining = True
        self._wake.set()

    def _leave(self) -> None:
        if os.getpid() != self._pid:
            return
        self._ended = True
        self._wake.set()
        self._thread.join(LEAVE_TIMEOUT_S)  # or a late renewal would bring the lease back
        if self._thread.is_alive():
            logger.warning("the store does not answer; the lease of %s ends by itself", self._id)
            return
        try:
            held = self._bridge.jobs.leave(self._id)
        except StoreUnavailable as exc:
            logger.warning("%s This worker's lease ends by itself.", exc)
        else:
            if held:
                logger.warning("worker %s hands back %d unfinished jobs", self._id, held)

    def _slots(self) -> int:
        if self._draining:
            return 0
        if self._worker.autoscale:
            return int(self._worker.max_concurrency)
        return int(self._worker.concurrency or 1)

    def _renew_for_ever(self) -> None:
        queues = list(self._worker.app.amqp.queues.consume_from)
        known, number = False, 0
        while not self._ended:
            number += 1
            # Before the call: a drain that begins during it must be announced too.
            self._wake.clear()
            pause_s = self._interval_s
            try:
                renewal = self._bridge.jobs.renew_lease(
                    self._id, number=number, slots=self._slots(), queues=queues,
                    ordinary=0, fetches=len(state.active_requests) < self._slots(),
                    claim_ids=_claims_of(state.requests) | _claims_of(_active_ids()),
                    active=_claims_of(_active_ids()))  # fmt: skip
                if known and not renewal.renewed:
                    logger.warning(
                        "the lease of worker %s had ended before it was renewed: what it runs may "
                        "run elsewhere too", self._id)  # fmt: skip
                known = True
                self._bring_outcomes(renewal.forgotten)
                self._stop_unwanted(renewal.unwanted)
            except (SchemaMismatch, StoreUnavailable) as exc:
                # A store of another schema may stay for days, beside a worker that needs no lease.
                self._seldom.warning(exc, "lease of worker %s not renewed: %s. It is tried again "
                                     "until it is; this is logged once a minute.",
                                     self._id, str(exc).rstrip("."))  # fmt: skip
                pause_s = min(1.0, self._interval_s / 5)
            except Exception:
                logger.exception("lease of worker %s not renewed; the next try follows", self._id)
            self._wake.wait(pause_s)

    def _bring_outcomes(self, forgotten: Iterable[Job]) -> None:
        """Jobs that ended here, and whose ending no hook of Celery has seen."""
        here = _claims_of(state.requests) | _claims_of(_active_ids())
        for job in forgotten:
            if job.claim_id in here:
                continue  # received since
            cause = f"the job ended on worker {self._id} without an outcome"
            outcome = Outcome.failure("Bridge.WorkerLost", cause)
            answer = self._bridge.jobs.lose(job, worker=self._id, outcome=outcome, job_is_gone=True)
            logger.error("job %s ended here without an outcome: %s", job.id, answer)

    def _stop_unwanted(self, unwanted: frozenset[str]) -> None:
        """Terminate what asks for it; a revocation sent when its claim was closed may be lost.

        At the second renewal that says so: between the outcome of a job and its acknowledgement its
        claim may be closed already, and the process on its way to the next job.
        """
        for request in _active():
            job = Job.parse(request.id)
            if job is None or job.claim_id not in unwanted & self._unwanted:
                continue
            activity = self._bridge.registry.of_job(
                request.request_dict.get(ACTIVITY_HEADER), self._worker.app.tasks.get(request.type)
            )
            if activity is not None and activity.terminate_on_cancel:
                logger.warning("job %s still runs though nobody wants it: terminated", job.id)
                # Not here: while the broker is away the call hangs, and the lease would end.
                threading.Thread(target=self._terminate, args=(request.id,), daemon=True).start()
        self._unwanted = unwanted

    def _terminate(self, task_id: str) -> None:
        try:
            self._worker.app.control.revoke(
                task_id, terminate=True, destination=[self._worker.hostname]
            )
        except (OperationalError, OSError) as exc:
            logger.warning("job %s is not terminated: %s", task_id, exc)


def _active() -> list[Any]:
    """The requests of all Celery tasks that this worker runs now."""
    while True:
        try:
            return list(state.active_requests)
        except RuntimeError:  # the worker's own thread has changed the set meanwhile
            continue


def _active_ids() -> list[object]:
    return [request.id for request in _active()]


def _claims_of(ids: Iterable[object]) -> set[str]:
    """The claims among Celery's task ids, which may be anything that another program sends."""
    return {job.claim_id for job in map(Job.parse, tuple(ids)) if job is not None}
