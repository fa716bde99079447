"""The stub answers workers as Step Functions does, and the bench as it asks."""

from __future__ import annotations

import threading
import time

import boto3
import pytest
from botocore.config import Config

from bench.processes import REGION, weigh
from bench.stub import ARN
from bench.stub_server import StubServer


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    server = StubServer(tmp_path_factory.mktemp("stub"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def sfn(stub):
    client = boto3.client(
        "stepfunctions",
        endpoint_url=stub.url,
        region_name=REGION,
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(read_timeout=70, retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def test_a_task_is_handed_out_once_and_reported(stub, sfn):
    """The figures have its five moments, in their order."""
    first = stub.schedule("one", 1)
    task = sfn.get_activity_task(activityArn=ARN + "one", workerName="w")
    begun = time.time()
    sfn.send_task_heartbeat(taskToken=task["taskToken"])
    sfn.send_task_success(
        taskToken=task["taskToken"], output=f'{{"begun": {begun!r}, "ended": {begun!r}}}'
    )
    stub.wait_reported(1)
    found = stub.figures(first)[0]
    assert found.scheduled <= found.handed <= found.begun <= found.ended <= found.reported
    assert stub.counts()["heartbeats"] == 1


def test_the_stub_tells_its_own_cpu(stub):
    """The figure agrees with /proc's, whose steps are 10 ms."""
    before = stub.cpu_s
    by_proc_s = weigh(stub.pid).cpu_s
    assert 0 < before <= stub.cpu_s
    assert by_proc_s == pytest.approx(before, abs=0.05)


def test_an_open_poll_is_answered_when_a_task_is_scheduled(stub, sfn):
    """It is not answered before."""
    stub.create("later")
    timer = threading.Timer(0.3, stub.schedule, ("later", 1))
    began = time.monotonic()
    timer.start()
    task = sfn.get_activity_task(activityArn=ARN + "later", workerName="w")
    timer.join()
    assert task["taskToken"]
    assert time.monotonic() - began >= 0.3


def test_a_poll_whose_client_has_disconnected_takes_no_task(stub, sfn):
    """The next poll gets the task."""
    stub.create("gone")
    held = stub.counts()["open"]
    hasty = boto3.client(
        "stepfunctions",
        endpoint_url=stub.url,
        region_name=REGION,
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(Exception, match="Read timeout"):
        hasty.get_activity_task(activityArn=ARN + "gone", workerName="w")
    hasty.close()
    deadline = time.monotonic() + 5
    while stub.counts()["open"] > held and time.monotonic() < deadline:
        time.sleep(0.01)
    stub.schedule("gone", 1)
    assert sfn.get_activity_task(activityArn=ARN + "gone", workerName="w")["taskToken"]


def test_a_second_report_is_refused(stub, sfn):
    """It is also counted, because no contestant may report a task twice."""
    stub.schedule("twice", 1)
    token = sfn.get_activity_task(activityArn=ARN + "twice", workerName="w")["taskToken"]
    sfn.send_task_success(taskToken=token, output="{}")
    with pytest.raises(sfn.exceptions.TaskTimedOut):
        sfn.send_task_success(taskToken=token, output="{}")
    assert stub.counts()["others"]["reported twice"] == 1


def test_tasks_are_scheduled_at_the_rate_asked_for(stub):
    """Twenty tasks at 100 a second take a fifth of a second."""
    first = stub.schedule("rated", 20, rate=100.0)
    time.sleep(0.5)
    scheduled = [task.scheduled for task in stub.figures(first)]
    assert len(scheduled) == 20
    assert 0.15 < scheduled[-1] - scheduled[0] < 0.35


def test_activities_are_created_listed_and_described(stub, sfn):
    """Workers make these calls at their start."""
    arn = sfn.create_activity(name="made")["activityArn"]
    assert arn == ARN + "made"
    assert arn in [row["activityArn"] for row in sfn.list_activities()["activities"]]
    assert sfn.describe_activity(activityArn=arn)["name"] == "made"
    with pytest.raises(sfn.exceptions.ActivityDoesNotExist):
        sfn.describe_activity(activityArn=ARN + "other")
    with pytest.raises(sfn.exceptions.ActivityDoesNotExist):
        sfn.get_activity_task(activityArn=ARN + "other", workerName="w")
