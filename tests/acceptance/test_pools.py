"""gevent and eventlet pools: the main path, and the endings that differ in them."""

from __future__ import annotations

import importlib.util

import pytest

from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

KINDS = "echo endings hard-limit retry safe sleep terminate watch"


def missing(pool: str) -> bool:
    return importlib.util.find_spec(pool) is None


@pytest.fixture(params=["gevent", "eventlet"], scope="module")
def pool(request):
    if missing(request.param):
        pytest.skip(f"{request.param} is not installed for this Python")
    return request.param


def terminate(deployment, kind: str) -> None:
    (run,) = wait_until(lambda: deployment.seen(kind))
    job_id = f"bridge-{run.claim_id}-{run.attempt}"
    done = deployment.run("control", "terminate", "SIGTERM", job_id)
    assert done.returncode == 0, done.stderr


def test_jobs_end_as_in_other_pools(deploy, pool):
    """All endings of jobs in such a pool, and what happens when its worker is killed."""
    deployment = deploy(JOBS_ONLY=KINDS)
    deployment.create_activities()
    worker = deployment.worker("--pool", pool, concurrency=20)
    deployment.beat()
    deployment.poller()
    machine = deployment.one_state("echo")
    many = [deployment.execute(machine, id=str(number)) for number in range(20)]
    began = {
        "retry": deployment.execute(deployment.one_state("retry"), id="r", failures=2),
        "raised": deployment.execute(deployment.one_state("endings"), id="x", how="exception"),
        "exit": deployment.execute(deployment.one_state("endings"), id="y", how="exit"),
        "terminated": deployment.execute(deployment.one_state("sleep"), id="t", seconds=60),
    }
    limited = deployment.execute(deployment.one_state("hard-limit"), id="h", seconds=3)
    stopped = deployment.execute(deployment.one_state("terminate"), id="s")
    terminate(deployment, "sleep")
    wait_until(lambda: deployment.seen("terminate"))
    deployment.sfn.stop_execution(executionArn=stopped)
    ended = {name: deployment.ended(execution) for name, execution in began.items()}
    assert {name: found.get("error", found["status"]) for name, found in ended.items()} == {
        "retry": "SUCCEEDED",
        "raised": "TooHot",
        "exit": "SystemExit",
        "terminated": "Bridge.JobRevoked",
    }
    assert {deployment.ended(execution)["status"] for execution in many} == {"SUCCEEDED"}
    # eventlet's pool has no time limits; the worker warns of it at its start.
    if pool == "gevent":
        assert deployment.ended(limited)["error"] == "Bridge.TimeLimitExceeded"
    else:
        assert deployment.ended(limited)["status"] == "SUCCEEDED"
        assert "eventlet pool ignores time_limit of task jobs.hard_limit" in worker.output
    assert "terminate_on_cancel of task" not in worker.output
    # The slots of the terminated and of the stopped job are free.
    wait_until(lambda: slots_in_use(deployment) == 0, what=str(deployment.status()))
    lost = deployment.execute(deployment.one_state("safe"), id="k", seconds=2)
    wait_until(lambda: deployment.seen("safe"))
    worker.kill()
    second = deployment.worker("--pool", pool, concurrency=20)
    assert deployment.ended(lost)["status"] == "SUCCEEDED"
    assert [run.attempt for run in deployment.seen("safe")] == ["1", "2"]
    assert wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)
    second.signal(15)
    assert second.wait() == 0
    assert "Traceback" not in second.output


def slots_in_use(deployment) -> int:
    """How many slots of the jobs' worker are occupied."""
    workers = deployment.status()["workers"]
    return sum(each["slots"] - each["free"] for each in workers if each["worker"].startswith("w"))
