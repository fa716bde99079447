"""Processes of two versions run side by side, and are replaced under load, in both directions.

The other version is the commit that ``upgrade_from.txt`` names; its store has the same schema. From
0.2.0 on, name the tag of the last release there. A change that raises the schema names its own
commit: versions of two schemas never run side by side (tests/acceptance/test_schema.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import tarfile
import tomllib
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest

from tests.acceptance.deployment import CELERY, HERE
from tests.faults.load import Load, all_claims_gone
from tests.guests.environments import ROOT
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(120), pytest.mark.timeout(400)]

RECORDED = Path(__file__).with_name("upgrade_from.txt")
BETWEEN = 12
"""How many jobs run between two replacements, so that the versions work together."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A folder with the package ``bridge`` of the recorded commit, and its metadata."""
    commit = RECORDED.read_text("utf-8").strip()
    made = subprocess.run(
        ["git", "archive", "--format=tar", commit, "bridge", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no git history with commit {commit}: {made.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("recorded")
    with tarfile.open(fileobj=BytesIO(made.stdout)) as tar:
        tar.extractall(folder, filter="data")
    _write_metadata(folder)
    return folder


def _write_metadata(folder: Path) -> None:
    """Write the entry points of the package: Celery finds its commands and scheduler by these."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / "celery_stepfunctions-0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Name: {project['name']}\nVersion: 0\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in entries.items())]
    info.joinpath("entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def versions(recorded):
    """Version → environment of its processes."""
    paths = {"old": recorded, "new": ROOT}
    found = {name: {"PYTHONPATH": f"{path}:{HERE}"} for name, path in paths.items()}
    for name, env in found.items():
        said = subprocess.run(
            [CELERY.with_name("python"), "-c", "import bridge; print(bridge.__file__)"],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        )
        assert said.stdout.strip() == str(paths[name] / "bridge" / "__init__.py")
    return found


@pytest.mark.parametrize("before", ["old", "new"])
def test_no_job_is_lost_or_run_twice(deploy, versions, before):
    """Each process is replaced; the new one starts before the old one ends."""
    after = {"old": "new", "new": "old"}[before]
    deployment = deploy(JOBS_ONLY="safe", BRIDGE_LEASE_S="5")
    deployment.create_activities(**versions[before])
    starts = {
        "worker": lambda env: deployment.worker(concurrency=4, **env),
        "poller": lambda env: deployment.poller(**env),
        "beat": lambda env: deployment.beat(**env),
        "threads": lambda env: deployment.worker("--pool", "threads", concurrency=4, **env),
    }
    running = {name: start(versions[before]) for name, start in starts.items()}
    machine = deployment.one_state("safe", HeartbeatSeconds=10)
    with Load(deployment, machine, per_s=4, seconds=1) as load:
        for name, start in starts.items():
            done = len(deployment.seen("safe"))
            wait_until(
                lambda done=done: len(deployment.seen("safe")) >= done + BETWEEN,
                timeout_s=60,
                what=f"{BETWEEN} more jobs before the {name} is replaced",
            )
            old, running[name] = running[name], start(versions[after])
            old.signal(signal.SIGTERM)
            assert old.wait(90) == 0, old.output
        done = len(deployment.seen("safe"))
        wait_until(lambda: len(deployment.seen("safe")) >= done + BETWEEN, timeout_s=60)
    assert load.statuses() == {"SUCCEEDED": len(load.executions)}
    assert len(load.executions) >= 5 * BETWEEN
    all_claims_gone(deployment)
    # on_lost="retry": what is lost runs again, which would show as a second run of its input.
    runs = Counter(run.id for run in deployment.seen("safe"))
    assert runs == {str(number): 1 for number in range(len(load.executions))}
    assert all(process.alive for process in running.values())
