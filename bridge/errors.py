"""The exceptions of the bridge, and whether trying again can help.

``retryable`` is a property of the kind of error, so that loops decide without knowing Step
Functions: a retryable error is backed off, a ``TokenClosed`` ends the claim, everything else is
said out loud. Nothing of Celery is loaded here, for it is slow: see ``bridge.healthcheck``. So the
one exception that is Celery's, too, ``JobCancelled``, stands in ``bridge.worker.current``.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import ClassVar

import click


def app_name() -> str:
    """What ``celery -A`` was given, for the remedies of messages; APP where nobody gave it."""
    context = click.get_current_context(silent=True)
    given = context.find_root().params.get("app") if context else None
    return given if isinstance(given, str) else "APP"


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
