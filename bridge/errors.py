"""The bridge's exceptions, and its error names in Step Functions.

``retryable`` tells users whether trying again can help: docs/reference/errors.md shows it. The
loops do not read it: they close a claim after ``TokenClosed`` and try again after every other
error, with a pause, because an operator may mend what cannot mend itself. The reporter reports a
failure in place of an outcome that Step Functions refuses.

This module does not import Celery, which is slow to load (see ``bridge.healthcheck``). Therefore
``JobCancelled``, a subclass of an exception of Celery, is in ``bridge.worker.current``.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar, Self

import click


def app_name() -> str:
    """The app that was given to ``celery -A``, for commands in messages; ``APP`` without one."""
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
    """Base of the exceptions that the bridge raises on purpose."""

    retryable: ClassVar[bool] = False


class SettingsError(BridgeError, click.ClickException):
    """A setting, a task option or a name is wrong, and nothing was started.

    It is a ``ClickException`` because Celery's command line is made with Click, which prints one
    sentence and exits with status 2 instead of showing a traceback.
    """

    exit_code = 2


class SchemaMismatch(SettingsError):
    """Another version of the bridge, with another layout of keys, uses the claim store."""


class CannotLoad(BridgeError):
    """A module of the bridge, or of a package that it needs, cannot be imported.

    It is not an ``ImportError``, because Celery hides an ``ImportError`` of the app's module and
    says instead that the module has no attribute ``celery``.

    Args:
        reason: The exception of the import.
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
            f"{', '.join(found)}. `pip check` shows incompatible versions; "
            "`pip install --upgrade celery-stepfunctions` installs compatible ones."
        )


class ActivityMissing(SettingsError):
    """Step Functions has no activity with a registered name."""


class ActivityError(Exception):
    """Raise it in a task to choose the error name and the cause that Step Functions receives.

    Args:
        error: Error name that Retry and Catch of the state machine match, at most 256 characters.
            Empty: the class name of the exception.
        cause: Human-readable detail, at most 32,768 characters. Longer text is cut; another value
            is converted to text.
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
        message: What was wrong, with the values, and what to do. It never has a task token.
        code: AWS's error code, such as ``"TaskTimedOut"``; empty when there was no response.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Throttled(StepFunctionsError):
    """The account's quota of calls is exceeded; try again after a pause."""

    retryable = True


class ServiceUnavailable(StepFunctionsError):
    """A 5xx status, a broken connection or no response in time; AWS may have acted on the call."""

    retryable = True


class TooManyPollers(StepFunctionsError):
    """1,000 polls are open on this activity; try again after a pause."""

    retryable = True


class CredentialsUnavailable(StepFunctionsError):
    """There are no AWS credentials, or they have expired; they may be renewed in the meantime."""

    retryable = True


class ClockSkewed(StepFunctionsError):
    """This host's clock is minutes off, so AWS refuses every signature until the clock is set."""

    retryable = True


class AccessDenied(StepFunctionsError):
    """IAM refuses the call; the policy may be changed in the meantime."""

    retryable = True


class EncryptionKeyUnavailable(StepFunctionsError):
    """KMS throttles, or refuses the key of an encrypted activity; this may change meanwhile."""

    retryable = True


class TokenClosed(StepFunctionsError):
    """Step Functions takes no more reports for this task token.

    TaskTimedOut, TaskDoesNotExist and InvalidToken all mean this. TaskTimedOut does not tell "too
    late" from "already reported".
    """


class ActivityDoesNotExist(StepFunctionsError):
    """No activity has this ARN; trying again cannot help until it is created."""


class InvalidRequest(StepFunctionsError):
    """Step Functions refuses the request: an ARN, an output or a size. Trying again cannot help."""
