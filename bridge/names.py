"""Check activity names, read activity ARNs, and build activity names from parts."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bridge.errors import SettingsError

MAX_LENGTH = 80
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":activity:(?P<name>[^\s?*<>{}\[\]\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80})"
)


class ActivityArn(NamedTuple):
    """The parts of an activity ARN that the bridge uses."""

    region: str
    account: str
    name: str


def parse_arn(activity: str) -> ActivityArn | None:
    """The parts of an activity ARN; None when ``activity`` is not one."""
    match = _ARN.fullmatch(activity)
    if match is None:
        return None
    return ActivityArn(match["region"], match["account"], match["name"])


def validate_activity_name(name: object) -> str:
    """Return the name if it is allowed.

    The bridge is stricter than AWS on purpose: ``[A-Za-z0-9_-]``, 1 to 80 characters, no hyphen
    first or last, so that a name is also safe in a key, a metric, a file and a shell.

    Raises:
        SettingsError: The name is not allowed; the message says which rule it breaks, and where,
            and suggests a valid name.
    """
    if not isinstance(name, str):
        raise SettingsError(f"activity={name!r} is of type {type(name).__name__}, not a name.")
    if len(name) <= MAX_LENGTH and _NAME.fullmatch(name):
        return name
    raise SettingsError(f"activity name {name!r} {_broken_rule(name)}.{_suggest(name)}")


def check_activity(activity: object) -> str:
    """Return the activity if it is an allowed name or an activity ARN.

    Raises:
        SettingsError: It is neither; see ``validate_activity_name``.
    """
    if isinstance(activity, str) and activity.startswith("arn:"):
        if parse_arn(activity) is None:
            raise SettingsError(
                f"activity {activity!r} is not a valid activity ARN: expected "
                "arn:aws:states:REGION:ACCOUNT:activity:NAME."
            )
        return activity
    return validate_activity_name(activity)


def _broken_rule(name: str) -> str:
    if not name:
        return "is empty: Step Functions takes 1 to 80 characters"
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters: Step Functions takes at most {MAX_LENGTH}"
    wrong = re.search(r"[^A-Za-z0-9_-]", name)
    if wrong:
        return (
            f"has {wrong.group()!r} at position {wrong.start() + 1}: "
            "only A-Z, a-z, 0-9, '_' and '-' are allowed"
        )
    return "starts or ends with a hyphen"


def _suggest(name: str) -> str:
    valid = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:MAX_LENGTH].strip("-")
    return f" Use {valid!r}, for example." if valid else ""


class Encryption(BaseModel):
    """How Step Functions encrypts the data of an activity (EncryptionConfiguration).

    Attributes:
        type: A key that AWS owns, or one of yours in KMS.
        kms_key_id: Id, alias or ARN of the KMS key; only with ``CUSTOMER_MANAGED_KMS_KEY``.
        data_key_reuse_s: How long Step Functions uses a data key before it asks KMS again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"] = "AWS_OWNED_KEY"
    kms_key_id: str | None = Field(default=None, min_length=1, max_length=2048)
    data_key_reuse_s: int | None = Field(default=None, ge=60, le=900)

    @model_validator(mode="after")
    def _key_fits_type(self) -> Encryption:
        if (self.type == "CUSTOMER_MANAGED_KMS_KEY") != (self.kms_key_id is not None):
            raise ValueError("kms_key_id is for CUSTOMER_MANAGED_KMS_KEY, which needs it")
        return self


def _as_value_error(name: str) -> str:
    if (arn := parse_arn(name)) is not None:
        return arn.name  # AWS allows more in it than the bridge allows in a name
    try:
        return validate_activity_name(name)
    except SettingsError as exc:  # pydantic collects ValueErrors only
        raise ValueError(str(exc)) from None


class ActivityAttributes(BaseModel):
    """The attributes with which an activity is created.

    Attributes:
        name: See ``validate_activity_name``. Of an activity ARN, the name in it is taken, with
            every character that AWS allows there, such as dots.
        tags: At most 50 tags.
        encryption: None: Step Functions uses a key of its own.

    Source: botocore stepfunctions 2016-11-23, CreateActivity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_as_value_error)]
    tags: dict[
        Annotated[str, Field(min_length=1, max_length=128)], Annotated[str, Field(max_length=256)]
    ] = Field(default_factory=dict, max_length=50)
    encryption: Encryption | None = None


class ActivityPattern(StrEnum):
    """Names of common kinds of activities.

    Members are strings: ``@shared_task(activity=ActivityPattern.data_processing)``.
    """

    data_processing = "data-processing-activity"
    file_processing = "file-processing-activity"
    image_processing = "image-processing-activity"
    email_sending = "email-sending-activity"
    report_generation = "report-generation-activity"
    data_validation = "data-validation-activity"
    backup_task = "backup-task-activity"
    cleanup_task = "cleanup-task-activity"
    monitoring_check = "monitoring-check-activity"
    health_check = "health-check-activity"
    batch_job = "batch-job-activity"
    etl_process = "etl-process-activity"
    ml_training = "ml-training-activity"
    ml_inference = "ml-inference-activity"
    api_integration = "api-integration-activity"


def worker_activity(worker: str, environment: str = "") -> str:
    """The activity name of a kind of worker, in one environment if there are several.

    >>> worker_activity("data", "prod"), worker_activity("ml")
    ('data-worker-activity-prod', 'ml-worker-activity')

    Raises:
        SettingsError: The result is not a valid name.
    """
    return _generated(worker, "worker-activity", environment)


def batch_activity(job: str) -> str:
    """The activity name of a batch job.

    >>> batch_activity("image-resize")
    'image-resize-batch-activity'

    Raises:
        SettingsError: The result is not a valid name.
    """
    return _generated(job, "batch-activity")


def integration_activity(service: str, operation: str) -> str:
    """The activity name of one operation of a service.

    >>> integration_activity("dynamodb", "query")
    'dynamodb-query-activity'

    Raises:
        SettingsError: The result is not a valid name.
    """
    return _generated(service, operation, "activity")


def _generated(first: str, *more: str) -> str:
    # Without an empty part, two different kinds could get the same name.
    if not first or not more[0]:
        raise SettingsError(f"no activity name can be made of {(first, *more)}: a part is empty.")
    return validate_activity_name("-".join(part for part in (first, *more) if part))
