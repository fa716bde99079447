"""Least privilege: who may do what at Step Functions, and who may take which role.

Pollers claim and report, beat reports and heartbeats, workers may nothing: they run everybody's
code. A state machine needs no permission to wait for an activity, and never one to answer for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import SettingsError
from bridge.infra.cfn import Json, Value, sub
from bridge.infra.fleet import Fleet

REPORT = ("states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess")
DEPLOY = (
    "states:CreateActivity",
    "states:DeleteActivity",
    "states:DescribeActivity",
    "states:TagResource",
    # CloudFormation reads tags before every update and removes those that are gone.
    "states:ListTagsForResource",
    "states:UntagResource",
)
# AWS counts 6,144 characters of a managed policy, without white space; this leaves room for the
# statements that name no activity.
_ARN_CHARACTERS = 4_800


def documents(fleet: Fleet) -> dict[str, list[Json]]:
    """The policy documents of each role, for ARNs that only CloudFormation knows.

    More than one where the ARNs do not fit into one managed policy.
    """
    return documents_for(fleet, [activity.arn for activity in fleet.activities])


def documents_for(fleet: Fleet, arns: Sequence[Value]) -> dict[str, list[Json]]:
    """The same for ARNs in a form of their own: one for each activity, in their order."""
    sizes = [len(activity.literal_arn or activity.arn_text) + 3 for activity in fleet.activities]
    parts = _parts(arns, sizes, _ARN_CHARACTERS // (2 if fleet.kms_key_arn else 1))
    report = _allow("Report", REPORT, "*")  # they take no resource: a token is the right
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
    """The policy by which a service takes a role: on behalf of this account only.

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
    """Every role as plain JSON, for those who do not use the templates.

    Raises:
        SettingsError: Region or account of an activity are not known.
    """
    fleet = located(fleet)
    arns: list[Value] = [activity.arn for activity in fleet.activities]
    made: Json = {}
    for role, policies in documents_for(fleet, arns).items():
        made[role] = {"PolicyDocuments": policies}
        if role != "deploy":  # who deploys is not ours to say
            service = "states" if role == "stateMachine" else "ecs-tasks"
            made[role]["AssumeRolePolicyDocument"] = trust(fleet, service)
    return made


def located(fleet: Fleet) -> Fleet:
    """The fleet with its account known, from its options or from its activities' ARNs."""
    for activity in fleet.activities:
        if activity.literal_arn is None:
            raise SettingsError(
                f"activity {activity.name!r} is given by name: its ARN needs --region and "
                "--account. (The templates do without: CloudFormation knows them.)"
            )
    accounts = {activity.account for activity in fleet.activities}
    if fleet.account:
        return fleet
    if len(accounts) > 1:
        raise SettingsError(
            f"the activities lie in {len(accounts)} accounts; say with --account where it runs."
        )
    return Fleet(
        fleet.name,
        fleet.activities,
        fleet.region,
        accounts.pop(),
        fleet.image,
        fleet.tags,
        fleet.kms_key_arn,
        fleet.dimensions,
        fleet.existing_vpc,
    )


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
