"""Read the definitions of deployed state machines with a client of Step Functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from bridge.lint.files import Document, Unreadable, parse

_ARN = re.compile(
    r"arn:aws[a-z-]*:states:(?P<region>[a-z0-9-]+):\d{12}:stateMachine:[^:\s]+(?::[^:\s]+)?"
)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployed state machine."""

    document: Document
    type_: str
    region: str


def region_of(arn: str) -> str | None:
    """The region in the ARN of a state machine, version or alias; None for any other text."""
    match = _ARN.fullmatch(arn)
    return match["region"] if match else None


def described(client: Any, arns: Iterable[str]) -> Iterator[Deployed]:
    """Read each state machine.

    Args:
        client: A boto3 client of ``stepfunctions``; its errors are not caught.

    Raises:
        Unreadable: A definition is not an object.

    Source: botocore stepfunctions 2016-11-23, DescribeStateMachine.
    """
    for arn in arns:
        answer = client.describe_state_machine(stateMachineArn=arn)
        document = parse(arn, answer["definition"])
        if not isinstance(document.value, dict):
            raise Unreadable(f"{arn}: the definition is not an object.")
        yield Deployed(document, answer["type"], region_of(arn) or "")


def listed(client: Any) -> list[str]:
    """The ARNs of all state machines in the account and region."""
    pages = client.get_paginator("list_state_machines").paginate()
    return [row["stateMachineArn"] for page in pages for row in page["stateMachines"]]
