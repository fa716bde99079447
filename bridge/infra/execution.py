"""The execution role, with which Fargate starts a task: fetch image and secrets, write logs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bridge.addresses.partitions import dns_suffix_of, partition_of
from bridge.errors import SettingsError
from bridge.infra import iam
from bridge.infra.cfn import Json, att, choose, parameter, ref, tags
from bridge.infra.fleet import Fleet

_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.-]+)/"
    r"(?P<name>[a-z0-9._/-]+?)(:[\w.-]+|@sha256:[0-9a-f]{64})?"
)


def parameters(fleet: Fleet) -> Json:
    """The parameters for the image and its repository; with defaults when the image is given.

    Raises:
        SettingsError: The image is not in ECR, the only registry that private subnets reach.
    """
    image, repository = fleet.image, None
    if image is not None:
        found = _ECR.fullmatch(image)
        if found is None or found["suffix"] != dns_suffix_of(found["region"]):
            raise SettingsError(
                f"--image {image!r} is not in ECR (ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG), "
                "the only registry that the private subnets reach. Push the image to ECR, or use a "
                "pull-through cache."
            )
        region = found["region"]
        repository = (
            f"arn:{partition_of(region)}:ecr:{region}:{found['account']}:repository/{found['name']}"
        )
    return {
        "Image": parameter("Image in ECR, with a digest or a tag that is never moved", image),
        "RepositoryArn": parameter("ECR repository of the image", repository),
    }


def execution_role(fleet: Fleet, processes: Sequence[str]) -> Json:
    """The role that Fargate uses to start a container; the container itself does not have it."""
    logs: list[Json] = []
    for name in processes:
        group = att(f"{name}Logs", "Arn")
        logs.append(choose("WithFlower", group) if name == "Flower" else group)
    secrets = [ref("BrokerUrl"), choose("WithFlower", ref("FlowerAuth"))]
    layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    statements: list[Json] = [
        _allow("LogIn", ["ecr:GetAuthorizationToken"], "*"),
        _allow("PullImage", layers, ref("RepositoryArn")),
        _allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], logs),
        _allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets),
    ]
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": iam.trust(fleet, "ecs-tasks"),
            "Policies": [
                {
                    "PolicyName": "start-tasks",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
                }
            ],
            "Tags": tags(fleet.all_tags),
        },
    }


def _allow(sid: str, actions: list[str], resource: str | Json | list[Json]) -> Json:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
