"""The exceptions of the bridge, and whether trying again can help.

``retryable`` is a property of the kind of error, so that loops decide without knowing Step
Functions: a retryable error is backed off, a ``TokenClosed`` ends the claim, everything else is
said out loud. Nothing of Celery is loaded here, for it is slow: see ``bridge.healthcheck``. So the
one exception that is Celery's, too, ``JobCancelled``, stands in ``bridge.worker.current``.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Self

import click


def app_name() -> str:
    """What ``celery -A`` was given, for the remedies of messages; APP where nobody gave it."""
    context = click.get_current_context(silent=True)
    given = context.find_root().params.get("app") if context else None
    return given if isinstance(given, str) else "APP"


class ErrorName(StrEnum):
    """The names of the bridge's own failures: what a Retry or Catch of a state machine matches.

    A job that fails with an exception has the exception's class name instead. ``docs/endings.md``
    says which ending of a job has which name.

    Attributes:
        meaning: What has happened, in one line.
    """

    meaning: str

    def __new__(cls, name: str, meaning: str) -> Self:
        """A member; its value is ``name``."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    CANCELLED = "Bridge.Cancelled", "The task stopped because its token was closed."
    FAILURE_REFUSED = (
        "Bridge.FailureRefused",
        "Step Functions refused the failure. Only metrics show this name.",
    )
    HEARTBEAT_LOST = (
        "Bridge.HeartbeatLost",
        'A job with heartbeat="manual" sent no heartbeat for five heartbeat intervals.',
    )
    IGNORED = "Bridge.Ignored", "The task raised Ignore, as self.replace() does."
    JOB_EXPIRED = "Bridge.JobExpired", "The job waited longer than its `expires`."
    JOB_REVOKED = "Bridge.JobRevoked", "The job was revoked or terminated in Celery."
    MESSAGE_REFUSED = "Bridge.MessageRefused", "The worker could not read the job's message."
    NOT_DISPATCHED = "Bridge.NotDispatched", "The job can never be published to the broker."
    NOT_STARTED = "Bridge.NotStarted", "No worker started the job within BRIDGE_PATIENCE_S."
    OUTPUT_NOT_JSON = "Bridge.OutputNotJson", "The task returned a value that is not JSON."
    OUTPUT_REFUSED = "Bridge.OutputRefused", "Step Functions refused the output."
    OUTPUT_TOO_LARGE = "Bridge.OutputTooLarge", "The output is larger than 262,144 bytes."
    REJECTED = "Bridge.Rejected", "The task raised Reject without requeue."
    TASK_NOT_REGISTERED = "Bridge.TaskNotRegistered", "The worker does not have the task."
    TIME_LIMIT_EXCEEDED = (
        "Bridge.TimeLimitExceeded",
        "The job ran longer than its hard time limit.",
    )
    WORKER_LOST = "Bridge.WorkerLost", "The worker, or the process that ran the job, died."


class BridgeError(Exception):
    """Base of everything that the bridge raises on purpose."""

    retryable: ClassVar[bool] = False


class SettingsError(BridgeError, click.ClickException):
    """A setting, a task option or a name is impossible; nothing was started.

    A ``ClickException``, because Celery's command line is Click's: one sentence and exit status 2
    reach the user instead of a traceback.
    """

    exit_code = 2


class SchemaMismatch(SettingsError):
    """The claim store is in use by a version of the bridge with another layout of keys."""


class CannotLoad(BridgeError):
    """A module of the bridge, or of what it needs, cannot be imported here.

    No ``ImportError``: Celery drops one that an app's module raises, and then says that the module
    has no attribute ``celery``.

    Args:
        reason: What the import raised.
    """

    def __init__(self, reason: Exception) -> None:
        found = []
        for package in ("celery", "kombu", "redis"):
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                found.append(f"no {package}")
        super().__init__(
            f"the bridge cannot be loaded ({type(reason).__name__}: {reason}). Installed here: "
            f"{', '.join(found)}. `pip check` says whether versions do not fit together; "
            "`pip install --upgrade celery-stepfunctions` brings what fits."
        )


class ActivityMissing(SettingsError):
    """Step Functions knows no activity of a registered name."""


class ActivityError(Exception):
    """Raise it in a task to choose both fields of the failure that Step Functions sees.

    Args:
        error: Error name that the state machine's Retry and Catch match, at most 256 characters.
            Empty: the exception's class name.
        cause: Human-readable detail, at most 32,768 characters. Longer text is cut; what is no
            text is made one.
    """

    error: str = ""
    cause: str = ""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause


class StoreUnavailable(BridgeError):
    """The claim store (Redis) did not answer in time."""

    retryable = True


class StepFunctionsError(BridgeError):
    """Step Functions refused a call.

    Args:
        message: What was wrong, with the values, and the remedy. Never a task token.
        code: AWS's error code, such as ``"TaskTimedOut"``; empty when no answer came.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Throttled(StepFunctionsError):
    """Over the account's quota; back off and try again."""

    retryable = True


class ServiceUnavailable(StepFunctionsError):
    """A 5xx, a broken connection or no answer in time; it may have been taken all the same."""

    retryable = True


class TooManyPollers(StepFunctionsError):
    """1,000 polls are open on this activity; back off and try again."""

    retryable = True


class CredentialsUnavailable(StepFunctionsError):
    """No AWS credentials, or expired ones: they may be renewed while we wait."""

    retryable = True


class ClockSkewed(StepFunctionsError):
    """Our clock and AWS's are minutes apart, so signatures are refused until ours is mended."""

    retryable = True


class AccessDenied(StepFunctionsError):
    """IAM refuses the call; a policy must change, and may do so while we wait."""

    retryable = True


class EncryptionKeyUnavailable(StepFunctionsError):
    """KMS throttles, or refuses the key of an encrypted activity; it may be mended meanwhile."""

    retryable = True


class TokenClosed(StepFunctionsError):
    """Step Functions takes nothing more for this task token: it ended, here or elsewhere.

    TaskTimedOut, TaskDoesNotExist and InvalidToken all mean it. TaskTimedOut cannot tell "too
    late" from "already reported".
    """


class ActivityDoesNotExist(StepFunctionsError):
    """No such activity ARN; retrying cannot help until it is created."""


class InvalidRequest(StepFunctionsError):
    """Step Functions refuses the request: an ARN, an output, a size; retrying cannot help."""
