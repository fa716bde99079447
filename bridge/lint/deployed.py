"""Definitions of deployed state machines, from a client of Step Functions."""

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
    """A state machine as Step Functions has it."""

    document: Document
    type_: str
    region: str


def region_of(arn: str) -> str | None:
    """The region of a state machine's ARN, also of a version's or an alias's; None for no such."""
    match = _ARN.fullmatch(arn)
    return match["region"] if match else None


def described(client: Any, arns: Iterable[str]) -> Iterator[Deployed]:
    """Ask for each state machine.

    Args:
        client: boto3's of ``stepfunctions``; its errors pass through.

    Raises:
        Unreadable: What came back is no definition.

    Source: botocore stepfunctions 2016-11-23, DescribeStateMachine.
    """
    for arn in arns:
        answer = client.describe_state_machine(stateMachineArn=arn)
        document = parse(arn, answer["definition"])
        if not isinstance(document.value, dict):
            raise Unreadable(f"{arn}: the definition is no object.")
        yield Deployed(document, answer["type"], region_of(arn) or "")


def listed(client: Any) -> list[str]:
    """The ARNs of all state machines of the account and region."""
    pages = client.get_paginator("list_state_machines").paginate()
    return [row["stateMachineArn"] for page in pages for row in page["stateMachines"]]
