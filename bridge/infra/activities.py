"""The template of the activities, and of the roles of the processes that work on them."""

from __future__ import annotations

from bridge.infra import iam
from bridge.infra.cfn import Json, Value, att, ref, sub, tags, template
from bridge.infra.fleet import ActivityRef, Fleet, InfraError

# Exported as STACK-NAME, and imported by the template of ecs.
ROLES = {
    "poller": "PollerRole",
    "beat": "BeatRole",
    "worker": "WorkerRole",
    "stateMachine": "StateMachineRole",
}
_POLICIES_PER_ROLE = 10


def activities(fleet: Fleet) -> Json:
    """The template: the activities, a role for each process, and a policy for deployments.

    Activities that were given as ARNs exist already: policies contain them, but they are not
    created.
    """
    resources: Json = {}
    outputs: Json = {}
    for activity in fleet.activities:
        if not activity.exists:
            resources[_id(activity)] = _activity(fleet, activity)
        outputs[f"{_id(activity)}Arn"] = {
            "Description": f"ARN of activity {activity.name}",
            "Value": _arn(activity),
        }
    policies = iam.documents_for(fleet, [_arn(activity) for activity in fleet.activities])
    for key, role in ROLES.items():
        names = _add_policies(resources, role.removesuffix("Role"), policies[key])
        resources[role] = _role(fleet, "states" if key == "stateMachine" else "ecs-tasks", names)
        outputs[f"{role}Arn"] = {
            "Value": att(role, "Arn"),
            "Export": {"Name": sub(f"${{AWS::StackName}}-{role}Arn")},
        }
    for name in _add_policies(resources, "Deploy", policies["deploy"]):
        outputs[f"{name}Arn"] = {
            "Description": "Policy for the role that deploys this stack",
            "Value": ref(name),
        }
    return template(
        f"Activities of {fleet.name}, and the roles of its processes. "
        f"Made by: celery -A {fleet.app} infra cloudformation",
        resources=resources,
        outputs=outputs,
    )


def _id(activity: ActivityRef) -> str:
    return f"Activity{activity.logical_id}"


def _arn(activity: ActivityRef) -> Value:
    return activity.arn if activity.exists else ref(_id(activity))


def _activity(fleet: Fleet, activity: ActivityRef) -> Json:
    properties: Json = {"Name": activity.name, "Tags": tags(fleet.all_tags)}
    if fleet.kms_key_arn:
        properties["EncryptionConfiguration"] = {
            "Type": "CUSTOMER_MANAGED_KMS_KEY",
            "KmsKeyId": fleet.kms_key_arn,
            "KmsDataKeyReusePeriodSeconds": 300,
        }
    return {
        "Type": "AWS::StepFunctions::Activity",
        # An execution that waits for a deleted activity never ends by itself.
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def _role(fleet: Fleet, service: str, policies: list[str]) -> Json:
    properties: Json = {"AssumeRolePolicyDocument": iam.trust(fleet, service)}
    if policies:
        properties["ManagedPolicyArns"] = [ref(name) for name in policies]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": properties | {"Tags": tags(fleet.all_tags)},
    }


def _add_policies(resources: Json, prefix: str, documents: list[Json]) -> list[str]:
    if len(documents) > _POLICIES_PER_ROLE:
        raise InfraError(
            f"{prefix}: the ARNs of the activities need {len(documents)} managed policies; a role "
            f"can have {_POLICIES_PER_ROLE} at most. Use several stacks, each with some of the "
            "activities (--activity)."
        )
    names = [
        f"{prefix}Policy{number if number > 1 else ''}" for number in range(1, len(documents) + 1)
    ]
    for name, document in zip(names, documents, strict=True):
        resources[name] = {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": document},
        }
    return names
