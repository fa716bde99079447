"""Policies: least privilege, correct grammar, sizes that IAM takes."""

import json
from importlib.resources import files

import pytest

from bridge.errors import SettingsError
from bridge.infra.fleet import Fleet
from bridge.infra.iam import documents, iam

PLACE = {"region": "eu-west-1", "account": "123456789012"}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# IAM's own list of actions, as cfn-lint ships it; services and actions in lower case.
KNOWN = json.loads((files("cfnlint") / "data/AdditionalSpecs/Policies.json").read_text())


def named(count, **options):
    return Fleet.of([f"task-{number}" for number in range(count)], **{**PLACE, **options})


def statements(policies):
    return [statement for policy in policies for statement in policy["Statement"]]


def actions(policies):
    return {action for statement in statements(policies) for action in statement["Action"]}


FLEETS = [named(1), named(3), named(40), named(120), named(3, kms_key_arn=KEY)]


@pytest.mark.parametrize("fleet", FLEETS, ids=lambda fleet: len(fleet.activities))
class TestGrammar:
    def test_documents_have_version_and_statements(self, fleet):
        for role in iam(fleet).values():
            for document in role["PolicyDocuments"]:
                assert set(document) == {"Version", "Statement"}
                assert document["Version"] == "2012-10-17"
                assert document["Statement"]

    def test_statements_have_the_elements_of_an_identity_policy(self, fleet):
        for role in iam(fleet).values():
            for statement in statements(role["PolicyDocuments"]):
                assert set(statement) - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
                assert statement["Effect"] == "Allow"
                assert statement["Sid"].isalnum()
                assert statement["Action"]
                assert statement["Resource"]

    def test_statement_ids_are_unique_in_a_document(self, fleet):
        for role in iam(fleet).values():
            for document in role["PolicyDocuments"]:
                ids = [statement["Sid"] for statement in document["Statement"]]
                assert len(ids) == len(set(ids))

    def test_every_action_exists(self, fleet):
        for role in iam(fleet).values():
            for action in actions(role["PolicyDocuments"]):
                service, _, name = action.partition(":")
                assert name.lower() in KNOWN[service]["Actions"], action

    def test_actions_that_take_a_resource_have_one_and_the_others_have_none(self, fleet):
        for role in iam(fleet).values():
            for statement in statements(role["PolicyDocuments"]):
                for action in statement["Action"]:
                    service, _, name = action.partition(":")
                    if service == "cloudwatch":  # bound by a condition instead
                        continue
                    takes = KNOWN[service]["Actions"][name.lower()].get("Resources")
                    assert (statement["Resource"] != "*") is bool(takes), action

    def test_a_managed_policy_takes_each_document(self, fleet):
        for role in iam(fleet).values():
            for document in role["PolicyDocuments"]:
                assert len(json.dumps(document, separators=(",", ":"))) <= 6_144

    def test_trust_is_for_one_service_and_this_account(self, fleet):
        made = iam(fleet)
        for role in ("poller", "beat", "worker", "stateMachine"):
            (statement,) = made[role]["AssumeRolePolicyDocument"]["Statement"]
            service = "states" if role == "stateMachine" else "ecs-tasks"
            assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
            assert statement["Action"] == "sts:AssumeRole"
            assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


@pytest.mark.parametrize("fleet", FLEETS, ids=lambda fleet: len(fleet.activities))
class TestLeastPrivilege:
    def test_pollers_claim_on_their_activities_only(self, fleet):
        found = [
            arn
            for statement in statements(iam(fleet)["poller"]["PolicyDocuments"])
            if "states:GetActivityTask" in statement["Action"]
            for arn in statement["Resource"]
        ]
        assert found == [activity.literal_arn for activity in fleet.activities]

    def test_no_role_claims_on_every_activity(self, fleet):
        for role in iam(fleet).values():
            for statement in statements(role["PolicyDocuments"]):
                if "states:GetActivityTask" in statement["Action"]:
                    assert "*" not in "".join(statement["Resource"])

    def test_no_action_has_a_wildcard(self, fleet):
        for role in iam(fleet).values():
            assert not [a for a in actions(role["PolicyDocuments"]) if "*" in a]

    def test_workers_have_no_permissions(self, fleet):
        assert iam(fleet)["worker"]["PolicyDocuments"] == []

    def test_beat_reports_and_claims_nothing(self, fleet):
        assert {a for a in actions(iam(fleet)["beat"]["PolicyDocuments"]) if "states:" in a} == {
            "states:SendTaskSuccess",
            "states:SendTaskFailure",
            "states:SendTaskHeartbeat",
        }

    def test_pollers_claim_report_and_find(self, fleet):
        assert {a for a in actions(iam(fleet)["poller"]["PolicyDocuments"]) if "states:" in a} == {
            "states:GetActivityTask",
            "states:ListActivities",
            "states:SendTaskSuccess",
            "states:SendTaskFailure",
            "states:SendTaskHeartbeat",
        }

    def test_state_machines_never_answer_for_an_activity(self, fleet):
        found = actions(iam(fleet)["stateMachine"]["PolicyDocuments"])
        assert not [action for action in found if action.startswith("states:")]

    def test_metrics_need_no_permission(self, fleet):
        """They are lines of a log."""
        for role in ("poller", "beat"):
            found = actions(iam(fleet)[role]["PolicyDocuments"])
            assert not [action for action in found if action.startswith("cloudwatch:")]

    def test_the_deploy_policy_manages_these_activities_only(self, fleet):
        deploy = iam(fleet)["deploy"]["PolicyDocuments"]
        assert {
            "states:CreateActivity",
            "states:DescribeActivity",
            "states:DeleteActivity",
            "states:TagResource",
        } <= actions(deploy)
        arns = {arn for s in statements(deploy) if s["Sid"] == "Deploy" for arn in s["Resource"]}
        assert arns == {activity.literal_arn for activity in fleet.activities}


def test_the_longest_names_need_several_documents():
    fleet = Fleet.of([f"{number:03}-".ljust(80, "x") for number in range(200)], **PLACE)
    assert len(documents(fleet)["poller"]) > 1
    for policies in documents(fleet).values():
        for document in policies:
            assert len(json.dumps(document, separators=(",", ":"))) <= 6_144


@pytest.mark.parametrize("role", ["poller", "stateMachine"])
def test_a_key_is_used_for_the_activities_only(role):
    fleet = named(3, kms_key_arn=KEY)
    (use,) = [s for s in statements(documents(fleet)[role]) if s["Sid"] == "UseKey"]
    assert use["Resource"] == KEY
    assert use["Condition"]["StringEquals"]["kms:EncryptionContext:aws:states:activityArn"] == [
        activity.literal_arn for activity in fleet.activities
    ]


def test_a_full_arn_needs_no_region_and_account():
    made = iam(Fleet.of(["arn:aws:states:us-east-1:210987654321:activity:resize"]))
    trust = made["poller"]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "210987654321"}}


def test_a_name_without_a_place_is_refused():
    with pytest.raises(SettingsError, match="--region and --account"):
        iam(Fleet.of(["resize"]))


def test_arns_of_two_accounts_need_the_account():
    fleet = Fleet.of([f"arn:aws:states:us-east-1:{n}10987654321:activity:a" for n in "12"])
    with pytest.raises(SettingsError, match="2 accounts"):
        iam(fleet)
