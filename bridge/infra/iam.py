"""IAM policies with least privilege: which process may make which calls to Step Functions.

Pollers claim and report; beat reports and sends heartbeats. Workers have no permissions, because
they run user code. A state machine needs no permission to wait for an activity, and must not have
one to report for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.errors import SettingsError
from bridge.infra.cfn import Json, Value, sub
from bridge.infra.fleet import Fleet

REPORT = ("states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess")
DEPLOY = (
    "states:CreateActivity",
    "states:DeleteActivity",
    "states:DescribeActivity",
    "states:TagResource",
    # CloudFormation reads the tags before every update, and removes those that were deleted.
    "states:ListTagsForResource",
    "states:UntagResource",
)
# A managed policy may have 6,144 characters without white space. The difference is for the
# statements without ARNs of activities.
_ARN_CHARACTERS = 4_800


def documents(fleet: Fleet) -> dict[str, list[Json]]:
    """The policy documents of each role, for a template.

    A role has several when the ARNs of the activities do not fit into one managed policy.
    """
    return documents_for(fleet, [activity.arn for activity in fleet.activities])


def documents_for(fleet: Fleet, arns: Sequence[Value]) -> dict[str, list[Json]]:
    """The policy documents of each role, with these ARNs: one for each activity, in order."""
    sizes = [len(activity.literal_arn or activity.arn_text) + 3 for activity in fleet.activities]
    parts = _parts(arns, sizes, _ARN_CHARACTERS // (2 if fleet.kms_key_arn else 1))
    report = _allow(
        "Report", REPORT, "*"
    )  # these calls have no resource in IAM: the task token is the permission
    find = _allow("FindActivities", ["states:ListActivities"], "*")
    claim = [
        [_allow("Claim", ["states:GetActivityTask"], part), *_key(fleet, part, ["kms:Decrypt"])]
        for part in parts
    ]
    deploy = [[_allow("Deploy", DEPLOY, part)] for part in parts]
    if fleet.kms_key_arn:
        deploy[0].append(_allow("LookAtKey", ["kms:DescribeKey"], fleet.kms_key_arn))
    encrypt = [
        made
        for part in parts
        if (made := _key(fleet, part, ["kms:Decrypt", "kms:GenerateDataKey"]))
    ]
    return {
        "poller": [_document([*claim[0], report, find]), *map(_document, claim[1:])],
        "beat": [_document([report])],
        "worker": [],
        "stateMachine": [_document(each) for each in encrypt],
        "deploy": [_document(each) for each in deploy],
    }


def trust(fleet: Fleet, service: str) -> Json:
    """The trust policy of a role: a service may assume it, for this account only.

    Args:
        service: ``ecs-tasks`` or ``states``.
    """
    account: Value = fleet.account or sub("${AWS::AccountId}")
    condition: Json = {"StringEquals": {"aws:SourceAccount": account}}
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return _document([statement])


def iam(fleet: Fleet) -> Json:
    """The policies of every role as plain JSON, for deployments without the templates.

    Raises:
        SettingsError: The region or the account of an activity is not known.
    """
    fleet = located(fleet)
    arns: list[Value] = [activity.arn for activity in fleet.activities]
    made: Json = {}
    for role, policies in documents_for(fleet, arns).items():
        made[role] = {"PolicyDocuments": policies}
        if role != "deploy":  # the bridge does not create the role that deploys
            service = "states" if role == "stateMachine" else "ecs-tasks"
            made[role]["AssumeRolePolicyDocument"] = trust(fleet, service)
    return made


def located(fleet: Fleet) -> Fleet:
    """The fleet with its account, which may come from the ARNs of its activities."""
    for activity in fleet.activities:
        if activity.literal_arn is None:
            raise SettingsError(
                f"activity {activity.name!r} is given by name, so its ARN needs --region and "
                "--account. (Templates do not need them: CloudFormation knows both.)"
            )
    accounts = {activity.account for activity in fleet.activities}
    if fleet.account:
        return fleet
    if len(accounts) > 1:
        raise SettingsError(
            f"the activities are in {len(accounts)} accounts: give the fleet's own with --account."
        )
    return replace(fleet, account=accounts.pop())


def _parts(arns: Sequence[Value], sizes: Sequence[int], room: int) -> list[list[Value]]:
    parts: list[list[Value]] = [[]]
    used = 0
    for arn, size in zip(arns, sizes, strict=True):
        if parts[-1] and used + size > room:
            parts.append([])
            used = 0
        parts[-1].append(arn)
        used += size
    return parts


def _key(fleet: Fleet, arns: list[Value], actions: Sequence[str]) -> list[Json]:
    if not fleet.kms_key_arn:
        return []
    context = {"StringEquals": {"kms:EncryptionContext:aws:states:activityArn": arns}}
    return [_allow("UseKey", actions, fleet.kms_key_arn) | {"Condition": context}]


def _allow(sid: str, actions: Sequence[str], resource: Value | list[Value]) -> Json:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": resource}


def _document(statements: list[Json]) -> Json:
    return {"Version": "2012-10-17", "Statement": statements}
