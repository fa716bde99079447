"""List, create, describe and delete activities, and find their ARNs. Blocking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import (
    ConnectionError as EndpointError,
)

from bridge.errors import (
    ActivityMissing,
    CredentialsUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    StepFunctionsError,
    app_name,
)
from bridge.names import ActivityAttributes, Encryption, parse_arn
from bridge.stepfunctions.aws import Connection
from bridge.stepfunctions.aws_errors import translate
from bridge.stepfunctions.places import Places

_PAGE = 1_000
_NO_CREDENTIALS = (
    CredentialRetrievalError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)


@dataclass(frozen=True, slots=True)
class ActivityDescription:
    """An activity as DescribeActivity describes it."""

    name: str
    arn: str
    created: datetime
    encryption: Encryption | None = None


def list_activities(connection: Connection | None = None) -> dict[str, str]:
    """Name → ARN of every activity in the account and region, sorted by name.

    Raises:
        SettingsError: No region is set.
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    return _list(connection or Connection.from_environment())


def resolve(activities: Iterable[str], places: Places | None = None) -> dict[str, str]:
    """Activity as registered → its ARN.

    A full ARN is returned as it is. Step Functions is asked only if there are names.

    Raises:
        ActivityMissing: Step Functions knows no activity of a name; the message lists all of them.
        SettingsError: No region is set, or an ARN is in one that does not exist.
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    wanted = list(activities)
    places = places or Places()
    names = []
    for activity in wanted:
        places.connection(places.of(activity))
        if parse_arn(activity) is None:
            names.append(activity)
    home = places.connection()
    known = _list(home) if names else {}
    if missing := [name for name in names if name not in known]:
        raise ActivityMissing(_missing(missing, known, home))
    return {activity: known.get(activity, activity) for activity in wanted}


def create_activity(attributes: ActivityAttributes, connection: Connection | None = None) -> str:
    """Create an activity and return its ARN.

    An activity that exists stays as it is, with its tags and its encryption.

    Raises:
        InvalidRequest: The name is impossible, or the account is full.
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    connection = connection or Connection.from_environment()
    fields: dict[str, Any] = {"name": attributes.name}
    if attributes.tags:
        fields["tags"] = [{"key": key, "value": value} for key, value in attributes.tags.items()]
    if attributes.encryption is not None:
        fields["encryptionConfiguration"] = _encryption_fields(attributes.encryption)
    try:
        with control_client("CreateActivity", connection) as client:
            return str(client.create_activity(**fields)["activityArn"])
    except StepFunctionsError as exc:
        if exc.code != "ActivityAlreadyExists":  # the answer if it has another key
            raise
        return _list(connection)[attributes.name]


def describe_activity(arn: str, connection: Connection | None = None) -> ActivityDescription:
    """Describe an activity.

    Raises:
        ActivityDoesNotExist: No such ARN.
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    with control_client("DescribeActivity", connection) as client:
        answer = client.describe_activity(activityArn=arn)
    return ActivityDescription(
        name=answer["name"],
        arn=answer["activityArn"],
        created=answer["creationDate"],
        encryption=_encryption_of(answer.get("encryptionConfiguration")),
    )


def delete_activity(arn: str, connection: Connection | None = None) -> None:
    """Delete an activity; harmless if it does not exist.

    Raises:
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    with control_client("DeleteActivity", connection) as client:
        client.delete_activity(activityArn=arn)


def _encryption_fields(encryption: Encryption) -> dict[str, Any]:
    fields = {
        "type": encryption.type,
        "kmsKeyId": encryption.kms_key_id,
        "kmsDataKeyReusePeriodSeconds": encryption.data_key_reuse_s,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _encryption_of(fields: Mapping[str, Any] | None) -> Encryption | None:
    if not fields:
        return None
    return Encryption(
        type=fields["type"],
        kms_key_id=fields.get("kmsKeyId"),
        data_key_reuse_s=fields.get("kmsDataKeyReusePeriodSeconds"),
    )


def _list(connection: Connection) -> dict[str, str]:
    with control_client("ListActivities", connection) as client:
        pages = client.get_paginator("list_activities").paginate(maxResults=_PAGE)
        rows = [row for page in pages for row in page["activities"]]
    return {row["name"]: row["activityArn"] for row in sorted(rows, key=lambda row: row["name"])}


def _missing(missing: list[str], known: Mapping[str, str], connection: Connection) -> str:
    one = next((parsed for arn in known.values() if (parsed := parse_arn(arn))), None)
    account = f"account {one.account}" if one else "this account, which has no activities at all"
    names = ", ".join(repr(name) for name in missing)
    return (
        f"Step Functions knows no activity {names} in {connection.region} of {account} "
        f"(endpoint {connection.endpoint_url}). Create what is missing with: "
        f"celery -A {app_name()} activities create {' '.join(missing)}"
    )


@contextmanager
def control_client(call: str, connection: Connection | None = None) -> Iterator[Any]:
    """A botocore client of Step Functions whose errors become those of ``bridge.errors``.

    Args:
        call: The operation, for error messages.

    Raises:
        SettingsError: No region is set.
        StepFunctionsError: Step Functions refuses, or does not answer.
    """
    connection = connection or Connection.from_environment()
    try:
        client = connection.control_plane()
        try:
            yield client
        finally:
            client.close()
    except ClientError as exc:
        error = exc.response.get("Error", {})
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise translate(
            call, error.get("Code", ""), error.get("Message", ""), status=status
        ) from exc
    except _NO_CREDENTIALS as exc:
        raise CredentialsUnavailable(f"{call}: no AWS credentials: {exc}") from exc
    except (EndpointError, HTTPClientError) as exc:
        raise ServiceUnavailable(
            f"{call}: no answer from {connection.endpoint_url}: {exc}"
        ) from exc
    except ParamValidationError as exc:
        raise InvalidRequest(f"{call}: {exc}") from exc
    except BotoCoreError as exc:
        raise StepFunctionsError(f"{call}: {type(exc).__name__}: {exc}") from exc
