"""Publish a claim's job, and revoke one. Blocking, as Celery's producers are."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue

from kombu import Producer

from bridge.app_state import Installation
from bridge.errors import BridgeError, ErrorName
from bridge.model import Claim, Outcome
from bridge.registry import ACTIVITY_HEADER
from bridge.store import UnfinishedJob
from bridge.store.redis_errors import StoreRefusal, refusal_of
from bridge.support.log_limiter import LogLimiter
from bridge.support.publish_errors import is_final, is_outage
from bridge.versions import enabled

logger = logging.getLogger(__name__)

CONFIRM_TIMEOUT_S = 5.0
"""RabbitMQ's confirmation of a publish; on a half-open connection it never comes."""

SHORT_CHARS = 500
"""An input that Flower may show whole; Celery's search for what to cut is a sixth of the price of a
publish."""


class NotPublished(BridgeError):
    """The broker did not take the job, or its answer was lost; publishing again is harmless."""

    retryable = True


class BrokerUnavailable(NotPublished):
    """The same because the connection to the broker failed: other jobs would fare no better."""


class NotRegistered(BridgeError):
    """A claim's activity has no task in this process: it runs other code than its poller did."""


class Dispatcher:
    """Publishes and revokes jobs; safe to use from several threads."""

    def __init__(self, installation: Installation) -> None:
        self._bridge = installation
        self._batches = enabled("batch publishing")
        self._log_limiter = LogLimiter(logger)
        self._revocations: SimpleQueue[UnfinishedJob] = SimpleQueue()
        self._revoker: threading.Thread | None = None

    def publish_all(self, claims: Sequence[Claim]) -> list[Exception | None]:
        """Publish the jobs of several claims; what went wrong with each.

        They share a round trip where the broker is Redis and kombu is 5.7 or newer. When the broker
        goes away meanwhile, none counts as published, though some may be: publishing again is
        harmless.
        """
        failures: list[Exception | None] = []
        try:
            pool = self._bridge.app.producer_pool
            with pool.acquire(block=True) as producer, self._batch(producer, len(claims)):
                for claim in claims:
                    try:
                        self.publish(claim, producer=producer)
                        failures.append(None)
                    except BrokerUnavailable:
                        raise
                    except Exception as exc:  # noqa: BLE001 (handed over to who asked)
                        failures.append(exc)
        except BrokerUnavailable as exc:
            return [exc] * len(claims)
        except Exception as exc:  # noqa: BLE001 (whatever a transport raises: the jobs are there)
            return [self._not_published(exc, f"{len(claims)} jobs")] * len(claims)
        return failures

    def _batch(self, producer: Producer, size: int) -> AbstractContextManager[object]:
        """Within it, what is published goes to the broker together."""
        if not self._batches:
            return nullcontext()
        batch: AbstractContextManager[object] = producer.batch(max_size=size)
        return batch

    def publish(self, claim: Claim, *, retry: int = 0, producer: Producer | None = None) -> None:
        """Publish the job of a claim's current attempt.

        The job's id is deterministic and its start is fenced, so publishing twice is harmless. A
        job that can never be published is settled as ``Bridge.NotDispatched``.

        Args:
            claim: What the job is to do.
            retry: Celery's count of retries that the job had come to.
            producer: What to publish with; by default one of the app's pool.

        Raises:
            BrokerUnavailable: The broker is away; try again.
            NotPublished: It did not take this job; try again.
            NotRegistered: No task of this process has the activity.
        """
        activity = self._bridge.registry.get(claim.activity)
        if activity is None:
            raise NotRegistered(
                f"claim {claim.claim_id} is of activity {claim.activity!r}, and no task here has "
                "it. Deploy the same tasks to pollers and beat processes."
            )
        task = activity.task
        try:
            argument = claim.argument
        except Exception as exc:
            logger.exception("the input of claim %s cannot be decoded", claim.claim_id)
            self._give_up(claim, exc)
            return
        try:
            task.apply_async(
                (argument,),
                task_id=claim.job.id,
                producer=producer,
                retries=retry,
                retry=False,
                confirm_timeout=CONFIRM_TIMEOUT_S,
                argsrepr=repr((argument,)) if len(claim.input) <= SHORT_CHARS else None,
                kwargsrepr="{}",
                headers={ACTIVITY_HEADER: claim.activity},
            )
        except Exception as exc:
            if is_final(exc, task, argument):
                logger.exception("job %s of %s cannot be published", claim.job.id, claim.activity)
                self._give_up(claim, exc)
                return
            raise self._not_published(exc, f"job {claim.job.id}") from exc

    def _give_up(self, claim: Claim, exc: Exception) -> None:
        reason = f"{type(exc).__name__}: {exc}"
        self._bridge.jobs.settle(claim.job, Outcome.failure(ErrorName.NOT_DISPATCHED, reason))

    def _not_published(self, exc: Exception, what: str) -> NotPublished:
        """The error for a publish that may succeed later; it is logged, but not each time."""
        reason = exc.__cause__ or exc
        said = f"{type(reason).__name__}: {reason}"
        # A Redis that refuses writes refuses all; and its name may lead to another server, to which
        # only a new connection comes: kombu's pool makes one after an outage.
        refused = refusal_of(reason) not in (None, StoreRefusal.FORBIDDEN)
        away = refused or is_outage(exc, self._bridge.app)
        self._log_limiter.warning(
            reason,
            "%s is not dispatched yet: the broker did not take it (%s). It is published "
            "again until the broker does; this is logged once a minute.",
            what,
            said,
        )
        kind = BrokerUnavailable if away else NotPublished
        return kind(f"the broker did not take {what} ({said}); it is published again until it does")

    def revoke_soon(self, unfinished: UnfinishedJob) -> None:
        """Revoke a job without waiting for the broker."""
        if self._revoker is None:
            # One thread, and none of the loop's: a broker that hangs must hold up neither
            # heartbeats nor the end of the process.
            self._revoker = threading.Thread(target=self._revoke_all, name="revoke", daemon=True)
            self._revoker.start()
        self._revocations.put(unfinished)

    def _revoke_all(self) -> None:
        while True:
            unfinished = self._revocations.get()
            try:
                self.revoke(unfinished)
            except Exception as exc:  # noqa: BLE001 (it is only sooner than the lease's own news)
                # The fence keeps it from starting; one that runs can ask, and its worker hears of
                # it when it renews its lease.
                self._log_limiter.warning(exc, "job %s is not revoked: %s", unfinished.job.id, exc)

    def revoke(self, unfinished: UnfinishedJob) -> None:
        """Tell the workers that a job is not wanted any more.

        One that runs learns it from ``bridge.current()``, or is terminated where its task says so.
        """
        activity = self._bridge.registry.get(unfinished.activity)
        terminate = activity is not None and activity.terminate_on_cancel
        self._bridge.app.control.revoke(unfinished.job.id, terminate=terminate)
