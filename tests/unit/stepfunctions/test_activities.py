"""Activities as resources, through botocore and a real socket."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.errors import (
    AccessDenied,
    ActivityDoesNotExist,
    ActivityMissing,
    CredentialsUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    SettingsError,
    StepFunctionsError,
    Throttled,
)
from bridge.names import ActivityAttributes, Encryption
from bridge.stepfunctions import (
    activities,
    create_activity,
    delete_activity,
    describe_activity,
    list_activities,
    resolve,
)
from tests.unit.stepfunctions.server import ACCOUNT, REGION, error, hang_up, ok, raw


def arn(name: str, region: str = REGION) -> str:
    return f"arn:aws:states:{region}:{ACCOUNT}:activity:{name}"


def page(*names: str, next_token: str | None = None):
    rows = [{"name": name, "activityArn": arn(name), "creationDate": 1.5e9} for name in names]
    return ok({"activities": rows} | ({"nextToken": next_token} if next_token else {}))


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch) -> None:
    """Tests need not wait for botocore's back-off."""
    monkeypatch.setattr("bridge.stepfunctions.aws._ATTEMPTS", 1)


class TestList:
    def test_activities_of_all_pages_are_listed(self, server):
        server.script("ListActivities", page("b", "c", next_token="more"), page("a"))
        assert list(list_activities().items()) == [(n, arn(n)) for n in "abc"]
        assert [sent.fields for sent in server.calls] == [
            {"maxResults": 1000},
            {"maxResults": 1000, "nextToken": "more"},
        ]

    def test_an_account_without_activities_lists_none(self, server):
        server.script("ListActivities", page())
        assert list_activities() == {}


class TestResolve:
    def test_names_become_arns_and_arns_stay(self, server):
        server.script("ListActivities", page("resize", "other"))
        assert resolve(["resize", arn("full")]) == {
            "resize": arn("resize"),
            arn("full"): arn("full"),
        }

    def test_arns_alone_need_no_call(self, server):
        assert resolve(iter([arn("full")])) == {arn("full"): arn("full")}
        assert resolve([]) == {}
        assert server.calls == []

    def test_all_missing_activities_are_named_with_the_remedy(self, server):
        server.script("ListActivities", page("resize"))
        with pytest.raises(ActivityMissing) as caught:
            resolve(["resize", "invoice", "mail"])
        assert caught.value.message == (
            f"Step Functions knows no activity 'invoice', 'mail' in {REGION} of account {ACCOUNT} "
            f"(endpoint {server.url}/). Create what is missing with: "
            "celery -A APP activities create invoice mail"
        )

    def test_an_account_without_activities_is_an_error(self, server):
        server.script("ListActivities", page())
        with pytest.raises(ActivityMissing, match=r"no activities at all \(endpoint"):
            resolve(["resize"])

    def test_an_arn_of_another_region_stays_as_it_is(self, server):
        there = arn("full", "us-east-1")
        assert resolve([there]) == {there: there}
        assert server.calls == []


A = ActivityAttributes(name="a")
KEY = Encryption(type="CUSTOMER_MANAGED_KMS_KEY", kms_key_id="alias/a", data_key_reuse_s=60)


class TestCreate:
    def test_an_activity_is_created_with_its_tags(self, server):
        server.script("CreateActivity", ok({"activityArn": arn("a"), "creationDate": 1.5e9}))
        assert create_activity(ActivityAttributes(name="a", tags={"team": "x"})) == arn("a")
        assert server.calls[0].fields == {"name": "a", "tags": [{"key": "team", "value": "x"}]}

    def test_an_activity_is_created_without_tags(self, server):
        server.script("CreateActivity", ok({"activityArn": arn("a"), "creationDate": 1.5e9}))
        create_activity(A)
        assert server.calls[0].fields == {"name": "a"}

    def test_an_activity_is_created_with_its_kms_key(self, server):
        server.script("CreateActivity", ok({"activityArn": arn("a"), "creationDate": 1.5e9}))
        create_activity(ActivityAttributes(name="a", encryption=KEY))
        assert server.calls[0].fields["encryptionConfiguration"] == {
            "type": "CUSTOMER_MANAGED_KMS_KEY",
            "kmsKeyId": "alias/a",
            "kmsDataKeyReusePeriodSeconds": 60,
        }

    def test_an_activity_that_exists_with_other_encryption_stays(self, server):
        server.script("CreateActivity", error("ActivityAlreadyExists"))
        server.script("ListActivities", page("a"))
        assert create_activity(A) == arn("a")

    @pytest.mark.parametrize("code", ["InvalidName", "ActivityLimitExceeded", "TooManyTags"])
    def test_a_refusal_is_raised(self, server, code):
        server.script("CreateActivity", error(code, message="no"))
        with pytest.raises(InvalidRequest, match=rf"CreateActivity: {code} \(HTTP 400\): no"):
            create_activity(A)


class TestDescribeAndDelete:
    def test_an_activity_is_described(self, server):
        server.script(
            "DescribeActivity",
            ok({"activityArn": arn("a"), "name": "a", "creationDate": 1_500_000_000}),
        )
        found = describe_activity(arn("a"))
        assert (found.name, found.arn) == ("a", arn("a"))
        assert found.created == datetime.fromtimestamp(1_500_000_000, UTC)
        assert found.encryption is None

    def test_an_encrypted_activity_is_described(self, server):
        key = {
            "type": "CUSTOMER_MANAGED_KMS_KEY",
            "kmsKeyId": "alias/a",
            "kmsDataKeyReusePeriodSeconds": 60,
        }
        server.script(
            "DescribeActivity",
            ok(
                {
                    "activityArn": arn("a"),
                    "name": "a",
                    "creationDate": 1,
                    "encryptionConfiguration": key,
                }
            ),
        )
        assert describe_activity(arn("a")).encryption == KEY

    def test_an_activity_that_does_not_exist_is_an_error(self, server):
        server.script("DescribeActivity", error("ActivityDoesNotExist"))
        with pytest.raises(ActivityDoesNotExist):
            describe_activity(arn("a"))

    def test_an_activity_is_deleted(self, server):
        delete_activity(arn("a"))
        assert server.calls[0].fields == {"activityArn": arn("a")}


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (error("AccessDeniedException", message="not authorized to perform"), AccessDenied),
            (error("ThrottlingException"), Throttled),
            (error("ExpiredTokenException"), CredentialsUnavailable),
            (error("InvalidToken"), StepFunctionsError),  # of the page, not of a task
            (raw(b"", status=503), ServiceUnavailable),
            (hang_up, ServiceUnavailable),
        ],
    )
    def test_errors_of_aws_become_the_bridges(self, server, answer, kind):
        server.script("ListActivities", answer)
        with pytest.raises(kind, match="ListActivities: ") as caught:
            list_activities()
        assert type(caught.value) is kind

    def test_throttling_is_tried_again(self, server, monkeypatch):
        monkeypatch.setattr("bridge.stepfunctions.aws._ATTEMPTS", 3)
        server.script("ListActivities", error("ThrottlingException"), page("a"))
        assert list_activities() == {"a": arn("a")}

    def test_missing_credentials_are_an_error(self, server, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(CredentialsUnavailable, match="no AWS credentials"):
            list_activities()

    def test_a_missing_secret_key_is_an_error(self, server, monkeypatch):
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(CredentialsUnavailable, match="AWS_SECRET_ACCESS_KEY"):
            list_activities()

    def test_an_endpoint_without_a_server_is_an_error(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:1")
        with pytest.raises(ServiceUnavailable, match=r"no answer from http://127.0.0.1:1"):
            list_activities()

    def test_a_missing_region_is_an_error(self):
        with pytest.raises(SettingsError, match="AWS_REGION"):
            list_activities()

    def test_one_page_holds_a_thousand(self):
        assert activities._PAGE == 1000
