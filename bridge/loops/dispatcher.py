"""Publish the jobs of claims, and revoke jobs. Blocking, as Celery's producers are."""

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
"""How long to wait for RabbitMQ's confirmation; on a half-open connection it never comes."""

SHORT_CHARS = 500
"""Flower shows an input of this length whole. Celery's search for what to cut takes a sixth of the
CPU of a publish."""


class NotPublished(BridgeError):
    """The broker did not take the job, or its answer was lost; publishing again is harmless."""

    retryable = True


class BrokerUnavailable(NotPublished):
    """The connection to the broker failed, so it would not take other jobs either."""


class NotRegistered(BridgeError):
    """This process has no task for a claim's activity: it runs other code than the poller did."""


class Dispatcher:
    """Publishes and revokes jobs; safe to use from several threads."""

    def __init__(self, installation: Installation) -> None:
        self._bridge = installation
        self._batches = enabled("batch publishing")
        self._log_limiter = LogLimiter(logger)
        self._revocations: SimpleQueue[UnfinishedJob] = SimpleQueue()
        self._revoker: threading.Thread | None = None

    def publish_all(self, claims: Sequence[Claim]) -> list[Exception | None]:
        """Publish the jobs of several claims; for each, its error or None.

        They share a round trip if the broker is Redis and kombu is 5.7 or newer. If the connection
        fails meanwhile, none counts as published, though some may be: publishing again is harmless.
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
                    except Exception as exc:  # noqa: BLE001 (returned to the caller)
                        failures.append(exc)
        except BrokerUnavailable as exc:
            return [exc] * len(claims)
        except Exception as exc:  # noqa: BLE001 (transports raise many kinds)
            return [self._not_published(exc, f"{len(claims)} jobs")] * len(claims)
        return failures

    def _batch(self, producer: Producer, size: int) -> AbstractContextManager[object]:
        """Within this context, published messages are sent to the broker together."""
        if not self._batches:
            return nullcontext()
        batch: AbstractContextManager[object] = producer.batch(max_size=size)
        return batch

    def publish(self, claim: Claim, *, retry: int = 0, producer: Producer | None = None) -> None:
        """Publish the job of a claim's current attempt.

        The job's id is deterministic and its start is fenced, so publishing twice is harmless. If
        a job can never be published, its claim fails as ``Bridge.NotDispatched``.

        Args:
            claim: The claim whose job is published.
            retry: Celery's count of retries, with which the job begins.
            producer: Publishes the job; by default one of the app's pool.

        Raises:
            BrokerUnavailable: The connection to the broker failed; try again.
            NotPublished: The broker did not take this job; try again.
            NotRegistered: No task of this process has the activity.
        """
        activity = self._bridge.registry.get(claim.activity)
        if activity is None:
            raise NotRegistered(
                f"claim {claim.claim_id} is of activity {claim.activity!r}, for which this process "
                "has no task. Deploy the same tasks to pollers and beat processes."
            )
        task = activity.task
        try:
            argument = claim.argument
        except Exception as exc:
            logger.exception("the input of claim %s cannot be decoded", claim.claim_id)
            self._fail(claim, exc)
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
                self._fail(claim, exc)
                return
            raise self._not_published(exc, f"job {claim.job.id}") from exc

    def _fail(self, claim: Claim, exc: Exception) -> None:
        reason = f"{type(exc).__name__}: {exc}"
        self._bridge.jobs.settle(claim.job, Outcome.failure(ErrorName.NOT_DISPATCHED, reason))

    def _not_published(self, exc: Exception, what: str) -> NotPublished:
        """The error of a publish that may succeed later; logged once a minute."""
        reason = exc.__cause__ or exc
        said = f"{type(reason).__name__}: {reason}"
        # A Redis that refuses writes refuses all of them. Its name may lead to another server now,
        # which only a new connection reaches: kombu's pool makes one after an outage.
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
            # One thread, beside those of the event loop: a broker that hangs must delay neither
            # heartbeats nor the end of the process.
            self._revoker = threading.Thread(target=self._revoke_all, name="revoke", daemon=True)
            self._revoker.start()
        self._revocations.put(unfinished)

    def _revoke_all(self) -> None:
        while True:
            unfinished = self._revocations.get()
            try:
                self.revoke(unfinished)
            except Exception as exc:  # noqa: BLE001 (revoking is optional)
                # The fence keeps the job from starting. If it runs, its worker learns that the
                # claim is closed when it renews its lease.
                self._log_limiter.warning(exc, "job %s is not revoked: %s", unfinished.job.id, exc)

    def revoke(self, unfinished: UnfinishedJob) -> None:
        """Tell the workers that a job's claim is closed.

        A job that runs sees it in ``bridge.current()``, or is terminated if its task asks for that.
        """
        activity = self._bridge.registry.get(unfinished.activity)
        terminate = activity is not None and activity.terminate_on_cancel
        self._bridge.app.control.revoke(unfinished.job.id, terminate=terminate)
