"""The activities of the simulated deployment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One activity.

    Attributes:
        duration_s: The shortest and the longest run.
    """

    activity: str
    queue: str
    duration_s: tuple[float, float]
    on_lost: str = "fail"
    manual: bool = False
    terminates: bool = False

    @property
    def arn(self) -> str:
        return f"arn:aws:states:us-east-1:123456789012:activity:{self.activity}"


KINDS = (
    Kind(activity="short", queue="celery", duration_s=(0.01, 0.2)),
    Kind(activity="steady", queue="celery", duration_s=(1.0, 20.0), on_lost="retry"),
    Kind(activity="long", queue="heavy", duration_s=(20.0, 240.0)),
    Kind(
        activity="manual",
        queue="heavy",
        duration_s=(5.0, 120.0),
        on_lost="retry",
        manual=True,
        terminates=True,
    ),
)
QUEUES = ("celery", "heavy")
MAX_ATTEMPTS = 3
