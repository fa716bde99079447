"""The stack of activities and roles."""

import json

from bridge.infra.activities import activities
from bridge.infra.fleet import Fleet

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def of_type(template, kind):
    return {k: v for k, v in template["Resources"].items() if v["Type"] == kind}


def test_every_activity_is_created_with_tags_and_has_an_output():
    made = activities(Fleet.of(["a", "b", "c"], tags={"Team": "media"}))
    found = of_type(made, "AWS::StepFunctions::Activity")
    assert [each["Properties"]["Name"] for each in found.values()] == ["a", "b", "c"]
    for name, each in found.items():
        assert {"Key": "Team", "Value": "media"} in each["Properties"]["Tags"]
        assert "EncryptionConfiguration" not in each["Properties"]
        assert made["Outputs"][f"{name}Arn"]["Value"] == {"Ref": name}


def test_a_key_encrypts_every_activity():
    made = activities(Fleet.of(["a", "b"], kms_key_arn=KEY))
    for each in of_type(made, "AWS::StepFunctions::Activity").values():
        assert each["Properties"]["EncryptionConfiguration"] == {
            "Type": "CUSTOMER_MANAGED_KMS_KEY",
            "KmsKeyId": KEY,
            "KmsDataKeyReusePeriodSeconds": 300,
        }


def test_an_activity_given_as_arn_is_used_and_not_created():
    arn = "arn:aws:states:us-east-1:210987654321:activity:x"
    made = activities(Fleet.of(["a", arn]))
    assert list(of_type(made, "AWS::StepFunctions::Activity")) == ["ActivityA"]
    (claim,) = [
        statement
        for statement in made["Resources"]["PollerPolicy"]["Properties"]["PolicyDocument"][
            "Statement"
        ]
        if "states:GetActivityTask" in statement["Action"]
    ]
    assert claim["Resource"] == [{"Ref": "ActivityA"}, arn]


def test_workers_and_state_machines_have_a_role_without_rights():
    made = activities(Fleet.of(["a"]))["Resources"]
    for role in ("WorkerRole", "StateMachineRole"):
        assert set(made[role]["Properties"]) == {"AssumeRolePolicyDocument", "Tags"}
        assert "states:" not in json.dumps(made[role])


def test_roles_are_exported_for_the_other_stack():
    made = activities(Fleet.of(["a"]))["Outputs"]
    for role in ("Poller", "Beat", "Worker", "StateMachine"):
        assert made[f"{role}RoleArn"]["Export"]["Name"] == {
            "Fn::Sub": f"${{AWS::StackName}}-{role}RoleArn"
        }
