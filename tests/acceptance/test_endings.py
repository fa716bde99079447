"""Every ending of a job becomes a named outcome, and no execution hangs."""

from __future__ import annotations

import time

import pytest

from bridge import versions
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize(
    ("how", "error", "cause"),
    [
        ("exception", "TooHot", "46 degrees"),
        ("activity-error", "ProcessingError", "row 7 has no price"),
        ("exit", "SystemExit", "3"),
        ("ignore", "Bridge.Ignored", "raised Ignore"),
        ("reject", "Bridge.Rejected", "no such file"),
        ("replace", "Bridge.Ignored", "self.replace"),
        ("nan", "Bridge.OutputNotJson", "Out of range float"),
        ("bytes", "Bridge.OutputNotJson", "bytes"),
        ("surrogate", "Bridge.OutputNotJson", "surrogates"),
        ("circular", "Bridge.OutputNotJson", "ircular"),
        ("large", "Bridge.OutputTooLarge", "262,145 bytes"),
        ("two-arguments", "TypeError", "plain()"),
    ],
)
def test_a_failure_has_a_name(everything, how, error, cause):
    status, said_error, said_cause = everything.outcome("endings", id=how, how=how)
    assert (status, said_error) == ("FAILED", error)
    assert cause in said_cause
    assert len([run for run in everything.seen("endings") if run.id == how]) == 1


@pytest.mark.parametrize("how", ["none", "largest"])
def test_a_success_at_the_edge(everything, how):
    status, output, _ = everything.outcome("endings", id=how, how=how)
    assert status == "SUCCEEDED"
    assert output == (None if how == "none" else "x" * 262_142)


def test_a_cause_is_cut_between_code_points(everything):
    _, error, cause = everything.outcome("endings", id="long", how="long-cause")
    assert error == "TooHot"
    assert set(cause) == {"💥"}
    assert len(cause) == 16_384


def test_a_hard_time_limit_is_named(everything):
    status, error, _ = everything.outcome("hard-limit", id="hard")
    assert (status, error) == ("FAILED", "Bridge.TimeLimitExceeded")


def test_a_soft_time_limit_is_the_tasks_own_exception(everything):
    assert everything.outcome("soft-limit", id="s1")[1] == "SoftTimeLimitExceeded"
    assert everything.outcome("soft-limit", id="s2", catch=True)[:2] == ("SUCCEEDED", "caught")


def test_celery_retries_inside_one_claim(everything):
    """The state machine sees one success; the token lives through the countdowns."""
    machine = everything.one_state("retry", HeartbeatSeconds=3)
    execution = everything.execute(machine, id="r", failures=2, countdown=4)
    assert everything.ended(execution)["status"] == "SUCCEEDED"
    runs = [run for run in everything.seen("retry") if run.id == "r"]
    assert len(runs) == 3
    assert len({run.claim_id for run in runs}) == 1


def test_retries_without_a_countdown(everything):
    """The retry is published before the run that asks for it has ended: it must not be lost."""
    assert everything.outcome("retry", id="r0", failures=5)[:2] == ("SUCCEEDED", {"retries": 5})


def test_exhausted_retries_fail_with_the_last_exception(everything):
    assert everything.outcome("autoretry", id="a")[1:] == ("OSError", "the disk is on fire")
    assert len([run for run in everything.seen("autoretry") if run.id == "a"]) == 2


def test_a_requeued_message_runs_again(everything):
    assert everything.outcome("requeue", id="q")[:2] == ("SUCCEEDED", "second time")


def test_a_revoked_job_is_named(deploy):
    """A person revokes it in Celery; the execution fails with that name."""
    deployment = deploy(JOBS_ONLY="sleep echo")
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.poller()
    first = deployment.execute(deployment.one_state("sleep"), id="first", seconds=12)
    wait_until(lambda: deployment.seen("sleep"))
    second = deployment.execute(deployment.one_state("echo"), id="second")
    wait_until(lambda: deployment.happened(second, "ActivityStarted"))
    job_id = wait_until(lambda: queued_job(deployment))
    assert deployment.run("control", "revoke", job_id).returncode == 0
    assert deployment.ended(second)["error"] == "Bridge.JobRevoked"
    assert deployment.ended(first)["status"] == "SUCCEEDED"
    assert deployment.seen("echo") == []


def test_a_terminated_job_is_named(deploy):
    deployment = deploy(JOBS_ONLY="sleep")
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.poller()
    execution = deployment.execute(deployment.one_state("sleep"), id="t", seconds=60)
    (run,) = wait_until(lambda: deployment.seen("sleep"))
    done = deployment.run("control", "terminate", "SIGTERM", f"bridge-{run.claim_id}-{run.attempt}")
    assert done.returncode == 0, done.stderr
    assert deployment.ended(execution)["error"] == "Bridge.JobRevoked"


def test_an_expired_job_is_named(deploy):
    """The task's own `expires`: the job waited longer in the queue."""
    deployment = deploy(JOBS_ONLY="sleep expires")
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.poller()
    first = deployment.execute(deployment.one_state("sleep"), id="first", seconds=4)
    wait_until(lambda: deployment.seen("sleep"))
    second = deployment.execute(deployment.one_state("expires"), id="second")
    assert deployment.ended(second)["error"] == "Bridge.JobExpired"
    assert deployment.ended(first)["status"] == "SUCCEEDED"
    assert deployment.seen("expires") == []


def test_a_task_that_the_worker_does_not_have_is_named(deploy):
    """The poller runs newer code than the worker."""
    deployment = deploy(JOBS_ONLY="unknown")
    deployment.create_activities(JOBS_UNKNOWN="1")
    deployment.worker()
    deployment.poller(JOBS_UNKNOWN="1")
    status, error, cause = deployment.outcome("unknown", id="u")
    assert (status, error) == ("FAILED", "Bridge.TaskNotRegistered")
    assert "jobs.unknown" in cause


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools(deploy, pool):
    """The task runner works the same in pools that do not fork."""
    deployment = deploy(JOBS_ONLY="echo endings retry")
    deployment.create_activities()
    deployment.worker("--pool", pool)
    deployment.poller()
    assert deployment.outcome("echo", id="1")[0] == "SUCCEEDED"
    assert deployment.outcome("endings", id="x", how="exception")[1] == "TooHot"
    assert deployment.outcome("endings", id="y", how="ignore")[1] == "Bridge.Ignored"
    assert deployment.outcome("retry", id="z", failures=1)[0] == "SUCCEEDED"


def test_what_would_end_a_worker_of_threads_ends_its_task_only(deploy):
    """sys.exit() and MemoryError, as often as there are slots: the slots are free afterwards."""
    deployment = deploy(JOBS_ONLY="echo endings")
    deployment.create_activities()
    worker = deployment.worker("--pool", "threads", concurrency=2)
    deployment.poller()
    for number, how in enumerate(["exit", "exit", "exit -1", "out-of-memory"]):
        error = "MemoryError" if how == "out-of-memory" else "SystemExit"
        assert deployment.outcome("endings", id=str(number), how=how)[:2] == ("FAILED", error)
    assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
    assert worker.alive


@pytest.mark.parametrize("how", ["exit -1", "out-of-memory"])
def test_what_would_end_a_worker_of_processes(everything, how):
    error = "MemoryError" if how == "out-of-memory" else "SystemExit"
    assert everything.outcome("endings", id=how, how=how)[:2] == ("FAILED", error)
    assert everything.outcome("echo", id="e")[0] == "SUCCEEDED"
    assert all(process.alive for process in everything.processes)


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "datetime", "__value__": "2026-01-01T00:00:00"},
        {"rows": [{"__type__": "no such type", "__value__": 1}]},
        {"\\u005f_type__": 1},
        {"__bridge_json__": "{}"},
        {"__bridge_json__": 7, "more": "keys"},
    ],
)
def test_an_input_that_looks_like_a_message_of_kombus(everything, value):
    """kombu would turn it into a date, or refuse the whole message."""
    assert everything.outcome("echo", id="k", value=value)[:2] == (
        "SUCCEEDED",
        {"id": "k", "value": value},
    )


def test_a_soft_time_limit_while_the_store_is_away(deploy):
    """The job waits for the store with its failure when the limit passes; that failure counts."""
    deployment = deploy(JOBS_ONLY="soft-limit")
    deployment.create_activities()
    deployment.worker(concurrency=1)
    deployment.beat()
    deployment.poller()
    machine = deployment.one_state("soft-limit", HeartbeatSeconds=60)
    execution = deployment.execute(machine, id="s", fails_after=0.7)
    wait_until(lambda: deployment.seen("soft-limit"))
    deployment.valkey.pause()
    time.sleep(3)
    deployment.valkey.resume()
    assert deployment.ended(execution)["error"] == "ValueError"
    assert wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)


@pytest.mark.skipif(
    versions.installed_version("celery") < (5, 7), reason="Celery 5.7 brought spawned pools"
)
def test_a_spawned_pool_is_refused(deploy):
    """Celery gives spawned children a copy of the app without the bridge."""
    ended = deploy(JOBS_ONLY="echo").run("worker", "--pool-start-method", "spawn")
    assert ended.returncode == 2
    assert "worker_pool_start_method is 'spawn'" in ended.stderr


def queued_job(deployment) -> str | None:
    """The id of the one job that waits for a slot; None before it is stored."""
    import redis

    with redis.Redis.from_url(deployment.env["CELERY_BROKER_URL"], decode_responses=True) as client:
        root = "{" + deployment.prefix + "}"
        for key in client.scan_iter(f"{root}:claim:*"):
            if client.hget(key, "state") in ("claimed", "queued"):
                claim_id = key.rpartition(":")[2]
                return f"bridge-{claim_id}-{client.hget(key, 'attempt')}"
    return None
