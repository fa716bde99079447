"""One poller and one beat process serve activities of several regions and accounts."""

from __future__ import annotations

import json

import boto3
import pytest

from bridge.statemachine import activity_task, state_machine
from tests.acceptance.deployment import CREDENTIALS
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

OTHER = "222222222222"
ROLE = f"arn:aws:iam::{OTHER}:role/bridge"


def client_there(url: str, region: str):
    """A client with the role in the other account."""
    keys = dict(
        zip(("aws_access_key_id", "aws_secret_access_key"), CREDENTIALS.values(), strict=True)
    )
    sts = boto3.client("sts", endpoint_url=url, region_name="us-east-1", **keys)
    role = sts.assume_role(RoleArn=ROLE, RoleSessionName="test")["Credentials"]
    return boto3.client(
        "stepfunctions",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
    )


@pytest.fixture
def two_places(deploy, local_stepfunctions):
    """A deployment with ``echo`` in its own account and region and ``sleep`` in others; its ARN."""
    if local_stepfunctions.external:
        pytest.skip("there is no second account")
    deployment = deploy(
        JOBS_ONLY="echo",
        BRIDGE_ROLES=json.dumps({OTHER: ROLE}),
        AWS_ENDPOINT_URL_STS=local_stepfunctions.url,
    )
    arn = f"arn:aws:states:eu-west-1:{OTHER}:activity:{deployment.prefix}-there"
    deployment.env["BRIDGE_ACTIVITIES"] = json.dumps({arn: "jobs.sleep"})
    return deployment, arn


def test_activities_of_two_regions_and_accounts(two_places, local_stepfunctions):
    """Each is created, polled, heartbeated and reported in its own region and account."""
    deployment, arn = two_places
    deployment.create_activities()
    there = client_there(local_stepfunctions.url, "eu-west-1")
    assert [
        row["activityArn"]
        for row in there.list_activities()["activities"]
        if deployment.prefix in row["name"]
    ] == [arn]
    deployment.worker()
    deployment.beat()
    deployment.poller()
    state = activity_task(arn, timeout_s=60, heartbeat_s=3)
    machine = there.create_state_machine(
        name=deployment.prefix,
        definition=json.dumps(state_machine("Work", {"Work": state}, timeout_s=60)),
        roleArn=f"arn:aws:iam::{OTHER}:role/states",
    )["stateMachineArn"]
    execution = there.start_execution(
        stateMachineArn=machine, input=json.dumps({"id": "far", "seconds": 6})
    )["executionArn"]
    # Longer than its HeartbeatSeconds: heartbeats reach the other region, too.
    assert deployment.outcome("echo", id="near")[0] == "SUCCEEDED"
    found = wait_until(
        lambda: (
            (one := there.describe_execution(executionArn=execution))["status"] != "RUNNING" and one
        ),
        timeout_s=40,
        what="the execution of the other account ends",
    )
    assert found["status"] == "SUCCEEDED", found
    assert len(deployment.seen("sleep")) == 1

    def row():
        return next(row for row in deployment.status()["activities"] if row["activity"] == arn)

    wait_until(lambda: row()["succeeded"] == 1)
