"""Activity names: what is allowed, and what the error says."""

from __future__ import annotations

import pytest

from bridge.errors import SettingsError
from bridge.names import check_activity, parse_arn

ARN = "arn:aws:states:eu-west-1:123456789012:activity:resize"


@pytest.mark.parametrize("name", ["a", "A-1_b", "x" * 80, ARN, ARN.replace("aws", "aws-us-gov")])
def test_allowed(name):
    assert check_activity(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("x" * 81, "has 81 characters"),
        ("bad name!", r"has ' ' at position 4.*Use 'bad-name'"),
        ("tab\t", r"has '\\t' at position 4"),
        ("name\n", r"has '\\n' at position 5"),
        ("ünicode", "has 'ü' at position 1"),
        ("-first", "starts or ends with a hyphen.*Use 'first'"),
        ("last-", "starts or ends with a hyphen"),
        ("arn:aws:states:eu-west-1:1:activity:x", "is no activity ARN"),
        (ARN.replace("activity", "stateMachine"), "is no activity ARN"),
        (7, "is int, not a name"),
        (None, "is NoneType, not a name"),
    ],
)
def test_refused(name, says):
    with pytest.raises(SettingsError, match=says):
        check_activity(name)


def test_the_parts_of_an_arn():
    assert parse_arn(ARN) == ("eu-west-1", "123456789012", "resize")
    assert parse_arn("resize") is None
