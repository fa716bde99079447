"""Calls of an activity's task that are no jobs behave as without the bridge."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.local.valkey import LocalValkey
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

CALLS = """
import json
from ordinary_calls_app import app, calling, lost, nested, retrying, slow

def end(result):
    try:
        return result.get(timeout=60)
    except Exception as exc:
        return repr(exc)

# The two that Celery runs again come first, because they take longest.
sleeping, losing = slow.delay({"seconds": 6}), lost.delay({"id": "call"})
outcomes = [
    end(nested.delay({"a": 1})),
    end(nested.apply_async(kwargs={"event": [], "depth": 2})),
    end(calling.delay({"a": 1})),
    end(retrying.delay({"failures": 1})),
    end(retrying.delay({"failures": 9})),
    end(nested.apply(({},))),
    end(calling.apply(({},))),
    nested({"b": 2}),
    calling({"b": 2}),
    end(losing),
    end(sleeping),
]
print(json.dumps(outcomes, indent=1))
"""


def with_and_without(deploy, pool):
    """Two deployments of the app: without the bridge, and with it."""
    for bridge in ("", "1"):
        server = LocalValkey().start()
        made = deploy(
            valkey=server,
            BACKEND=server.url,
            ORDINARY_BRIDGE=bridge,
            BRIDGE_TASKS="ordinary_calls_app",
        )
        made.worker("--pool", pool, app="ordinary_calls_app")
        yield made


def outcomes(deployment) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        env=deployment.env,
        cwd=deployment.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_calls_are_as_without_the_bridge(deploy, pool):
    """The same outcomes, methods that Celery calls, acknowledgements and numbers of runs."""
    said = []
    for deployment in with_and_without(deploy, pool):
        if pool == "threads":  # the task would kill the worker
            deployment.seen_file.with_name("seen.log.call").touch()
        results = outcomes(deployment)
        lines = deployment.seen_file.read_text().splitlines()
        assert sum(line.startswith("slow ") for line in lines) == 1
        hooks = sorted(line for line in lines if not line.startswith("slow "))
        said.append((results, hooks))
    assert said[0] == said[1]


def test_jobs_are_acknowledged_late_and_not_rerun_by_celery(deploy):
    """This is so whatever the task's author has set."""
    server = LocalValkey().start()
    deployment = deploy(
        valkey=server, BACKEND=server.url, ORDINARY_BRIDGE="1", BRIDGE_TASKS="ordinary_calls_app"
    )
    created = deployment.run("activities", "create", app="ordinary_calls_app")
    assert created.returncode == 0, created.stderr
    worker = deployment.worker(app="ordinary_calls_app")
    deployment.poller(app="ordinary_calls_app")
    assert deployment.outcome("lost", id="job")[1] == "Bridge.WorkerLost"
    status, output, _ = deployment.outcome("nested", id="n")
    assert (status, output["depth"], output["inner"]["depth"]) == ("SUCCEEDED", 1, 2)
    assert deployment.outcome("calling", id="c")[1][0] == "called"
    assert deployment.outcome("retrying", failures=1)[1]["retries"] == 1
    said = deployment.seen_file.read_text()
    assert said.count("lost job") == 1
    assert "acknowledged True" not in said
    assert said.count("acknowledged False") == 4
    assert wait_until(lambda: unacknowledged(server) == 0)
    worker.signal(15)
    assert worker.wait() == 0


def unacknowledged(server) -> int:
    import redis

    with redis.Redis.from_url(server.url) as client:
        return client.hlen("unacked")
