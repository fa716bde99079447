"""Activity names: which are allowed, and what the error says about others."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge.errors import SettingsError
from bridge.names import (
    ActivityAttributes,
    ActivityPattern,
    Encryption,
    batch_activity,
    check_activity,
    integration_activity,
    parse_arn,
    validate_activity_name,
    worker_activity,
)

ARN = "arn:aws:states:eu-west-1:123456789012:activity:resize"


@pytest.mark.parametrize("name", ["a", "A-1_b", "x" * 80, ARN, ARN.replace("aws", "aws-us-gov")])
def test_a_valid_name_is_returned(name):
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
        ("arn:aws:states:eu-west-1:1:activity:x", "is not a valid activity ARN"),
        (ARN.replace("activity", "stateMachine"), "is not a valid activity ARN"),
        (7, "is of type int, not a name"),
        (None, "is of type NoneType, not a name"),
    ],
)
def test_an_invalid_name_is_refused_with_the_broken_rule(name, says):
    with pytest.raises(SettingsError, match=says):
        check_activity(name)


def test_the_parts_of_an_arn():
    assert parse_arn(ARN) == ("eu-west-1", "123456789012", "resize")
    assert parse_arn("resize") is None


def test_a_name_is_not_an_arn():
    with pytest.raises(SettingsError, match="has ':' at position 4"):
        validate_activity_name(ARN)


PATTERNS = [
    *("data_processing", "file_processing", "image_processing", "email_sending"),
    *("report_generation", "data_validation", "backup_task", "cleanup_task", "monitoring_check"),
    *("health_check", "batch_job", "etl_process", "ml_training", "ml_inference"),
    "api_integration",
]


def test_there_are_no_other_patterns():
    assert [pattern.name for pattern in ActivityPattern] == PATTERNS


@pytest.mark.parametrize("kind", PATTERNS)
def test_a_pattern_is_a_valid_name(kind):
    name = ActivityPattern[kind]
    assert name == kind.replace("_", "-") + "-activity"
    assert validate_activity_name(name) == f"{name}"


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (worker_activity("data", "prod"), "data-worker-activity-prod"),
        (worker_activity("ml"), "ml-worker-activity"),
        (batch_activity("image-resize"), "image-resize-batch-activity"),
        (integration_activity("dynamodb", "query"), "dynamodb-query-activity"),
    ],
)
def test_names_are_made_from_their_parts(made, name):
    assert made == name


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: worker_activity("data team"), "has ' ' at position 5.*Use 'data-team-worker"),
        (lambda: worker_activity("data", "prod-"), "ends with a hyphen"),
        (lambda: worker_activity(""), "a part is empty"),
        (lambda: batch_activity("x" * 70), "has 85 characters"),
        (lambda: integration_activity("s3", "get/object"), "has '/' at position 7"),
        (lambda: integration_activity("s3", ""), "a part is empty"),
    ],
)
def test_made_names_are_validated(make, says):
    with pytest.raises(SettingsError, match=says):
        make()


class TestAttributes:
    def test_an_activity_is_created_with_name_tags_and_encryption(self):
        key = Encryption(type="CUSTOMER_MANAGED_KMS_KEY", kms_key_id="alias/a", data_key_reuse_s=60)
        made = ActivityAttributes(name="resize", tags={"team": "images"}, encryption=key)
        assert made.tags == {"team": "images"}
        assert made.encryption.kms_key_id == "alias/a"

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"name": "bad name!"}, "has ' ' at position 4"),
            ({"name": "a", "tags": {"": "x"}}, "at least 1 character"),
            ({"name": "a", "tags": {str(n): "" for n in range(51)}}, "at most 50"),
            ({"name": "a", "colour": "red"}, "colour"),
            (
                {"name": "a", "encryption": {"type": "CUSTOMER_MANAGED_KMS_KEY"}},
                "kms_key_id is for",
            ),
            ({"name": "a", "encryption": {"kms_key_id": "alias/a"}}, "kms_key_id is for"),
            ({"name": "a", "encryption": {"data_key_reuse_s": 30}}, "greater than or equal to 60"),
        ],
    )
    def test_impossible_attributes_are_refused(self, fields, says):
        with pytest.raises(ValidationError, match=says):
            ActivityAttributes(**fields)
