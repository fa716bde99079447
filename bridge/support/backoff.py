"""How long each part waits before it tries again. The bridge's back-off policies stand here.

What failed                                    Policy              Who waits
---------------------------------------------  ------------------  -----------------------------
a poll of Step Functions                       POLL                loops/open_polls.py
an outcome that Step Functions did not take    REPORT              loops/reporter.py
a heartbeat                                    HEARTBEAT_AGAIN     loops/heartbeat.py
one request of a report, within one call       REPORT_RETRY        stepfunctions/client.py
one request of a heartbeat, within one call    HEARTBEAT_RETRY     stepfunctions/client.py
a claim that Redis did not store               STORE_CLAIM         loops/intake.py
a claim, by an exception that is not expected  STORE_CLAIM_BUG     loops/intake.py
a job that the broker did not take             PUBLISH             loops/intake.py
the reporter's loop                            LOOP_RETRY_S        loops/reporter.py
the renewal of a worker's lease                LEASE_RETRY_S       worker/lease.py
a call of the store that a job waits for       OUTCOME_RETRY_S     worker/store_wait.py
a Celery retry that the broker did not take    CELERY_RETRY_S      worker/tasks.py

Elsewhere stand the policies of libraries: redis-py's for commands of the claim store in
``store/connection.py``, botocore's for rare calls in ``stepfunctions/aws.py``. How calls share a
throttled account is in ``stepfunctions/pace.py``. Recovery and the stand-in for beat wait for their
next tick. Which error means what is in ``stepfunctions/aws_errors.py``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

Uniform = Callable[[float, float], float]
"""``random.uniform``, or a test's replacement for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with jitter: the ceiling of a pause doubles with each failure.

    A pause lasts a random part of its ceiling, so that processes which failed together do not try
    again together.

    Attributes:
        base_s: Ceiling of the first pause, in seconds.
        cap_s: Ceiling of every pause, in seconds.
        at_least: Least part of its ceiling that a pause lasts; 0 is "full jitter".
    """

    base_s: float
    cap_s: float
    at_least: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.base_s <= self.cap_s or not 0 <= self.at_least <= 1:
            raise ValueError(f"impossible: {self!r}")

    def pause_s(self, failures: int, uniform: Uniform = random.uniform) -> float:
        """Seconds to wait after this many failures in a row, counted from 1."""
        return self._jittered_s(self.base_s * 2.0 ** min(failures - 1, 60), uniform)

    def pause_after_s(self, waited_s: float, uniform: Uniform = random.uniform) -> float:
        """Seconds to wait for what has waited so long already.

        The ceiling is as long again, so it doubles each time without a count of failures.
        """
        return self._jittered_s(max(waited_s, self.base_s), uniform)

    def _jittered_s(self, ceiling_s: float, uniform: Uniform) -> float:
        ceiling_s = min(ceiling_s, self.cap_s)
        return uniform(self.at_least * ceiling_s, ceiling_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy(Backoff):
    """How often, and how far apart, one call is tried again; with full jitter.

    Attributes:
        attempts: Requests, at most; 1 never retries.
        within_s: The whole call ends within this time, whatever is left of the attempts; only a
            wait for credentials comes on top.
    """

    attempts: int
    within_s: float = math.inf
    at_least: float = 0.0

    def __post_init__(self) -> None:
        Backoff.__post_init__(self)
        if self.attempts < 1 or self.within_s <= 0:
            raise ValueError(f"impossible: {self!r}")


POLL = Backoff(base_s=1.0, cap_s=30.0)
REPORT = Backoff(base_s=1.0, cap_s=30.0)
STORE_CLAIM = Backoff(base_s=1.0, cap_s=1.0)
STORE_CLAIM_BUG = Backoff(base_s=5.0, cap_s=5.0)
PUBLISH = Backoff(base_s=1.0, cap_s=5.0)

# Few, since the store offers a missed heartbeat again soon, and every try is charged to the quota
# that all heartbeats of the account share.
HEARTBEAT_RETRY = RetryPolicy(attempts=3, base_s=0.25, cap_s=2.0, within_s=12.0)
# It ends before the reporter's HOLD_S, after which another reporter may take the outcome.
REPORT_RETRY = RetryPolicy(attempts=6, base_s=0.25, cap_s=5.0, within_s=25.0)

HEARTBEAT_AGAIN = 0.25
"""Part of its interval after which a failed heartbeat is due again. The interval is a third of
HeartbeatSeconds, so there is time for it."""
LOOP_RETRY_S = 1.0
LEASE_RETRY_S = 1.0
"""At most; a fifth of the interval of renewals, if that is less."""
OUTCOME_RETRY_S = 0.5
CELERY_RETRY_S = 1.0
