"""Logs as JSON, with the fields of a job's events; metrics for CloudWatch."""

from __future__ import annotations

import json

import pytest

from bridge.metrics.catalogue import cloudwatch
from bridge.statemachine import activity_task, state_machine
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def lines(process) -> list[dict]:
    """The JSON lines of a process; Celery's banner is not among them."""
    found = [line for line in process.output.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in found]


def test_logs_as_json_have_the_fields_of_each_event(deploy):
    deployment = deploy(JOBS_ONLY="echo endings retry", BRIDGE_LOG_FORMAT="json")
    deployment.create_activities()
    worker = deployment.worker(wait=False)
    beat = deployment.beat(wait=False)
    poller = deployment.poller()
    wait_until(lambda: deployment.status()["totals"]["polls"] > 0)
    state = activity_task(deployment.arn("echo"), timeout_s=60, heartbeat_s=10, with_context=True)
    machine = deployment.machine(state_machine("Work", {"Work": state}, timeout_s=60))
    execution = deployment.execute(machine, id="e", password="s3cret")
    assert deployment.ended(execution)["status"] == "SUCCEEDED"
    assert deployment.outcome("endings", id="x", how="exception")[1] == "TooHot"
    assert deployment.outcome("retry", id="r", failures=1)[0] == "SUCCEEDED"

    events = [line for line in lines(worker) if "event" in line]
    assert [line["event"] for line in events] == [
        "task_started",
        "task_completed",
        "task_started",
        "task_failed",
        "task_started",
        "task_retried",
        "task_started",
        "task_completed",
    ]
    done = events[1]
    (run,) = deployment.seen("echo")
    assert done["activity"] == f"{deployment.prefix}-echo"
    assert (done["claim_id"], done["attempt"], done["status"]) == (run.claim_id, 1, "succeeded")
    assert (done["execution"], done["state"]) == (execution, "Work")
    assert 0 <= done["duration_s"] < 30
    assert done["worker"].startswith("w")
    assert events[3]["error"] == "TooHot"
    assert "execution" not in events[3], "its state passes no context"
    for process in (worker, beat, poller):
        said = lines(process)
        assert {"time", "level", "logger", "message", "process", "pid"} <= said[0].keys()
        assert not [line for line in process.output.splitlines() if line.startswith("[20")]
    assert any(line["logger"] == "celery.app.trace" for line in lines(worker))
    # Celery's own line says what a task returned, here its input; nothing else shows either.
    shown = [line for line in lines(worker) if "s3cret" in json.dumps(line)]
    assert [line["message"].split()[2] for line in shown] == ["succeeded"]


def emf(process) -> list[dict]:
    return [line for line in lines(process) if "_aws" in line]


def named(found: list[dict]) -> set[str]:
    return {
        metric["Name"]
        for line in found
        for block in line["_aws"]["CloudWatchMetrics"]
        for metric in block["Metrics"]
    }


def test_the_embedded_format_has_the_metrics_of_jobs_and_fleet(deploy):
    """The processes publish what the templates of `infra` read, under the same names."""
    deployment = deploy(JOBS_ONLY="echo endings", BRIDGE_METRICS="emf")
    deployment.create_activities()
    worker = deployment.worker(concurrency=2)
    beat = deployment.beat()
    deployment.poller()
    assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
    assert deployment.outcome("endings", id="x", how="exception")[1] == "TooHot"
    done, failed, error = wait_until(lambda: len(found := emf(worker)) == 3 and found)
    for line in (done, failed, error):
        (block,) = line["_aws"]["CloudWatchMetrics"]
        assert block["Namespace"] == cloudwatch.NAMESPACE
        for dimension in block["Dimensions"][0]:
            assert isinstance(line[dimension], str)
    assert done["ActivityName"] == f"{deployment.prefix}-echo"
    assert "#" not in done["WorkerName"]
    assert 0 < done["TaskProcessingTime"] < 10
    assert (failed["TasksProcessed"], error["TaskErrors"], error["ErrorName"]) == (1, 1, "TooHot")

    asked = deployment.run("call", "bridge.metrics", "--queue", "bridge.system")
    assert asked.returncode == 0, asked.stderr
    fleet = wait_until(lambda: len(found := emf(beat)) == 3 and found)
    assert fleet[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]
    assert (fleet[0]["LiveWorkers"], fleet[0]["LostWorkers"], fleet[0]["BacklogPerSlot"]) == (
        1,
        0,
        0,
    )
    assert {line["ActivityName"] for line in fleet[1:]} == {
        f"{deployment.prefix}-echo",
        f"{deployment.prefix}-endings",
    }
    rare = {cloudwatch.IN_COUNTDOWN, cloudwatch.HELD_BACK}
    assert named(emf(worker)) | named(fleet) == {
        metric.name for metric in cloudwatch.ALL if metric not in rare
    }
