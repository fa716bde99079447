"""``celery -A bridge doctor``: it finds no fault in a complete deployment, and names each fault."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis

from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import HERE, Deployment
from tests.acceptance.test_secrecy import rights_of
from tests.faults.http_proxy import HttpProxy, answer
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

FAULTS = Path(__file__).parents[1] / "faults"


def faults(deployment: Deployment, **env: str) -> dict[str, dict[str, str]]:
    """The results that are not ok, by check."""
    done = deployment.run("doctor", "--json", **env)
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    bad = {each["check"]: each for each in found if each["level"] != "ok"}
    assert done.returncode == (1 if bad else 0)
    assert all(each["remedy"] for each in bad.values())
    return bad


@pytest.fixture(scope="module")
def whole(tmp_path_factory, local_stepfunctions):
    """A complete deployment: an append-only file, a worker with slots, a poller, a beat process."""
    folder = tmp_path_factory.mktemp("whole")
    deployment = Deployment(
        folder,
        valkey=LocalValkey(data_dir=folder / "valkey").start(),
        stepfunctions_url=local_stepfunctions.url,
        JOBS_ONLY="echo",
    )
    try:
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        wait_until(lambda: not faults(deployment), what=str(faults(deployment)))
        yield deployment
    finally:
        deployment.stop()


def test_a_complete_deployment_has_no_fault(whole):
    shown = whole.run("doctor")
    assert shown.returncode == 0
    assert "failure" not in shown.stdout
    assert "SendTaskHeartbeat" in shown.stdout
    assert "noeviction" in shown.stdout


@pytest.mark.parametrize("rights", [None, "~* &* +@all -info", "~* &* +@all -config -info"])
def test_what_the_stores_user_may_not_ask_is_unknown(whole, rights):
    """The claims can be read all the same. None stands for the poller's user in the guide."""
    arguments = rights_of("poller", whole.prefix)[1:]
    if rights:
        arguments = ["reset", "on", ">s3cret", *rights.split()]
    with redis.Redis.from_url(whole.valkey.url) as admin:
        admin.execute_command("ACL SETUSER", "some", *arguments)
    url = whole.valkey.url.replace("redis://", "redis://some:s3cret@")
    bad = faults(whole, CELERY_BROKER_URL=url)
    unknown = {check for check in bad if bad[check]["detail"].startswith("unknown: the store's")}
    assert set(bad) == unknown, bad
    assert "claims survive a restart of Redis" in unknown
    assert all("may not call INFO" in each["detail"] for each in bad.values())
    assert all("start Redis" not in each["remedy"] for each in bad.values())


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ("~* &* +@all -evalsha -eval", "evalsha"),
        ("~other &* +@all", r"key.*~\{\S+\}\*"),
        ("~* &* +@all -zrange -zrangebyscore -hgetall -hget", "command|zrange|hget"),
        ("~* &* +@all -time", "time"),
    ],
)
def test_a_missing_right_is_named(whole, rights, missing):
    with redis.Redis.from_url(whole.valkey.url) as admin:
        admin.execute_command("ACL SETUSER", "poor", "reset", "on", ">s3cret", *rights.split())
    url = whole.valkey.url.replace("redis://", "redis://poor:s3cret@")
    bad = faults(whole, BRIDGE_STORE_URL=url)["claim store"]
    assert "forbids it" in bad["detail"]
    assert re.search(missing, bad["detail"]), bad
    assert "ACL SETUSER" in bad["remedy"]
    assert "start Redis" not in bad["remedy"]
    assert "s3cret" not in str(bad)


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({}, "workers longer than the longest job of PREFIX-echo (without a time limit)"),
        ({"task_soft_time_limit": 300}, "workers longer than 300 s (time limit of PREFIX-echo)"),
        (
            {"task_soft_time_limit": 300, "task_time_limit": 600},
            "600 s (time limit of PREFIX-echo)",
        ),
        ({"worker_soft_shutdown_timeout": 60}, "longer than 60 s (worker_soft_shutdown_timeout)"),
    ],
)
def test_the_time_to_stop_is_told(whole, conf, says):
    """No process can see when its container will be killed, so doctor says what to compare."""
    env = {
        "BRIDGE_TASKS": "jobs,armed",
        "PYTHONPATH": f"{HERE}:{FAULTS}",
        "ARMED_CONF": json.dumps(conf),
    }
    shown = json.loads(whole.run("doctor", "--json", **env).stdout)
    (found,) = [each for each in shown if each["check"] == "time to stop"]
    assert found["level"] == "ok"
    assert found["detail"].startswith("from SIGTERM to SIGKILL: poller 90 s")
    assert says.replace("PREFIX", whole.prefix) in found["detail"]


class TestBroken:
    def test_an_activity_that_does_not_exist(self, whole):
        bad = faults(whole, JOBS_ONLY="echo sleep")
        assert list(bad) == ["activities at Step Functions"]
        assert "activities create" in bad["activities at Step Functions"]["remedy"]

    def test_a_queue_without_a_worker(self, whole):
        (whole.folder / "elsewhere.py").write_text(
            "from celery import shared_task\n"
            f"@shared_task(activity='{whole.prefix}-echo', queue='gpu')\n"
            "def elsewhere(event): ...\n"
        )
        env = {"BRIDGE_TASKS": "elsewhere", "PYTHONPATH": str(whole.folder)}
        bad = faults(whole, **env)
        assert "nothing of" in bad["workers of queue gpu"]["detail"]
        assert "-Q gpu" in bad["workers of queue gpu"]["remedy"]

    def test_no_credentials(self, whole):
        bad = faults(
            whole,
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
            AWS_EC2_METADATA_DISABLED="true",
            HOME="/nonexistent",
        )
        assert "credentials" in bad["activities at Step Functions"]["detail"]
        assert "permission states:SendTaskHeartbeat" in bad

    def test_step_functions_is_away(self, whole):
        bad = faults(whole, AWS_ENDPOINT_URL_SFN="http://127.0.0.1:1")
        assert "127.0.0.1:1" in bad["activities at Step Functions"]["detail"]

    def test_iam_refuses_a_call(self, whole, local_stepfunctions):
        host, port = local_stepfunctions.url.removeprefix("http://").split(":")
        with HttpProxy(host, int(port)) as proxy:
            denied = answer(400, "AccessDeniedException", "User is not authorized")
            proxy.rule(denied, operation="SendTaskHeartbeat")
            bad = faults(whole, AWS_ENDPOINT_URL_SFN=proxy.url())
        assert list(bad) == ["permission states:SendTaskHeartbeat"]
        assert "allow states:SendTaskHeartbeat" in bad[next(iter(bad))]["remedy"]

    def test_the_store_is_away(self, whole):
        bad = faults(whole, BRIDGE_STORE_URL="redis://:s3cret@127.0.0.1:1/0")
        assert list(bad) == ["claim store"]
        assert "s3cret" not in str(bad)

    def test_the_broker_is_away(self, whole):
        bad = faults(
            whole,
            CELERY_BROKER_URL="redis://:s3cret@127.0.0.1:1/0",
            BRIDGE_STORE_URL=whole.valkey.url,
        )
        assert list(bad) == ["broker"]
        assert "s3cret" not in str(bad)

    def test_a_visibility_timeout_below_a_time_limit(self, whole):
        env = {
            "BRIDGE_TASKS": "jobs,armed",
            "PYTHONPATH": f"{HERE}:{FAULTS}",
            "ARMED_CONF": '{"broker_transport_options": {"visibility_timeout": 10}, '
            '"task_time_limit": 60}',
        }
        bad = faults(whole, **env)
        assert list(bad) == ["visibility timeout"]
        assert "60 s" in bad["visibility timeout"]["detail"]

    def test_a_redis_that_may_lose_claims(self, deploy):
        """Redis has no append-only file and a policy that drops keys, and no process runs."""
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        import redis

        with redis.Redis.from_url(deployment.valkey.url) as admin:
            admin.config_set("maxmemory-policy", "allkeys-lru")
        bad = faults(deployment)
        assert set(bad) == {
            "claims survive a restart of Redis",
            "maxmemory-policy",
            "workers of queue celery",
            "pollers",
            "heartbeats",
        }
        assert bad["maxmemory-policy"]["level"] == "failure"
        assert "never" in bad["heartbeats"]["detail"]

    def test_no_beat_process(self, deploy, tmp_path):
        """Pollers send the heartbeats, so it only warns. One slot is enough for two activities."""
        deployment = deploy(
            JOBS_ONLY="echo sleep", valkey=LocalValkey(data_dir=tmp_path / "valkey").start()
        )
        deployment.create_activities()
        deployment.worker(concurrency=1)
        deployment.poller()
        bad = wait_until(lambda: len(found := faults(deployment)) == 1 and found)
        assert set(bad) == {"heartbeats"}
        assert bad["heartbeats"]["level"] == "warning"
