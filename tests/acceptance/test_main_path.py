"""The main path with real parts: Step Functions, poller, Valkey, workers, beat."""

from __future__ import annotations

import json
import re
import time
from collections import Counter

import pytest

from bridge.statemachine import activity_task, state_machine
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def counted(deployment: Deployment, machine: str) -> dict[str, int]:
    """How many executions of the machine have each status."""
    pages = deployment.sfn.get_paginator("list_executions").paginate(stateMachineArn=machine)
    counts: dict[str, int] = {}
    for page in pages:
        for execution in page["executions"]:
            counts[execution["status"]] = counts.get(execution["status"], 0) + 1
    return counts


class TestContext:
    def test_a_job_knows_its_execution_if_the_state_passes_it(self, everything):
        """The envelope is removed: the task gets its input alone."""
        state = activity_task(
            everything.arn("context"), timeout_s=60, heartbeat_s=10, with_context=True
        )
        machine = everything.machine(state_machine("Work", {"Work": state}, timeout_s=60))
        execution = everything.execute(machine, id="c")
        output = json.loads(everything.ended(execution)["output"])
        assert output == {"event": {"id": "c"}, "execution": execution}
        _, plain, _ = everything.outcome("context", id="p")
        assert plain == {"event": {"id": "p"}, "execution": None}


class TestInputs:
    @pytest.mark.parametrize("pool", ["prefork", "threads"])
    def test_an_input_of_1_mib_is_run(self, deploy, pool):
        """GetActivityTask returns up to 1 MiB since November 2025; all parts pass it on."""
        deployment = deploy(JOBS_ONLY="sized")
        deployment.create_activities()
        deployment.worker("--pool", pool)
        deployment.poller()
        most = 1_048_576
        given = json.dumps({"id": "large", "text": ""})
        text = "ä" * ((most - len(given)) // 2)
        event = json.dumps({"id": "large", "text": text}, ensure_ascii=False)
        event += " " * (most - len(event.encode()))
        machine = deployment.one_state("sized")
        execution = deployment.sfn.start_execution(stateMachineArn=machine, input=event)
        ended = deployment.ended(execution["executionArn"])
        assert ended["status"] == "SUCCEEDED", ended
        said = json.loads(ended["output"])
        assert said["same"]
        assert most - 2 <= said["bytes"] <= most
        assert "Traceback" not in deployment.output


class TestHeartbeat:
    def test_a_job_longer_than_its_heartbeat_seconds_succeeds(self, everything):
        """HeartbeatSeconds 3, a job of 10 s: the beat process keeps its token alive."""
        machine = everything.one_state("sleep", HeartbeatSeconds=3)
        ended = everything.ended(everything.execute(machine, id="long", seconds=10))
        assert ended["status"] == "SUCCEEDED"
        assert len([run for run in everything.seen("sleep") if run.id == "long"]) == 1

    def test_such_a_job_times_out_without_heartbeats(self, deploy):
        """With neither a poller nor a beat process, no heartbeat is sent."""
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        deployment.worker()
        poller = deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=3)
        execution = deployment.execute(machine, id="long", seconds=10)
        wait_until(lambda: deployment.seen("sleep"))
        poller.kill()  # it sends heartbeats while there is no beat process
        ended = deployment.ended(execution)
        assert ended["status"] in ("FAILED", "TIMED_OUT")
        assert "Timeout" in ended["error"]
        assert len(deployment.seen("sleep")) == 1

    def test_a_job_with_manual_heartbeats_succeeds(self, everything):
        """heartbeat="manual": the bridge sends heartbeats while the job calls heartbeat()."""
        machine = everything.one_state("manual", HeartbeatSeconds=60)
        ended = everything.ended(everything.execute(machine, id="m1", alive=1, hangs=0))
        assert ended["status"] == "SUCCEEDED"


class TestMany:
    def test_two_pollers_and_three_workers_run_each_input_once(self, deploy):
        """200 executions: all succeed, and exactly one job gets each input."""
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        for _ in range(3):
            deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        deployment.poller()
        machine = deployment.one_state("echo")
        for number in range(200):
            deployment.execute(machine, id=str(number))
        wait_until(lambda: counted(deployment, machine).get("RUNNING", 0) == 0, timeout_s=90)
        assert counted(deployment, machine) == {"SUCCEEDED": 200}
        assert sorted(int(run.id) for run in deployment.seen("echo")) == list(range(200))
        wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)

    def test_claims_never_exceed_the_slots_and_their_look_ahead(self, deploy):
        """With 8 slots and 40 jobs of 1 s, at most 8 × 1.25 claims run or wait at any moment."""
        deployment = deploy(BRIDGE_LOOK_AHEAD="1.25", JOBS_ONLY="sleep")
        deployment.create_activities()
        machine = deployment.one_state("sleep", HeartbeatSeconds=30)
        for number in range(40):
            deployment.execute(machine, id=str(number), seconds=1)
        deployment.worker("--pool", "threads", concurrency=4)
        deployment.worker("--pool", "threads", concurrency=4)
        deployment.beat()
        deployment.poller()
        seen = set()
        deadline = time.monotonic() + 90
        while counted(deployment, machine).get("RUNNING", 0) and time.monotonic() < deadline:
            totals = deployment.status()["totals"]
            seen.add(totals["in_flight"] - totals["outbox"])
        assert counted(deployment, machine) == {"SUCCEEDED": 40}
        assert 8 <= max(seen) <= 10


class TestNoWorker:
    def test_nothing_is_claimed_until_a_worker_starts(self, deploy):
        """Without a worker, executions wait in Step Functions, where no time-out runs yet."""
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        poller = deployment.poller()
        poller.says(f"nothing is claimed for {deployment.prefix}-echo until")
        machine = deployment.one_state("echo", HeartbeatSeconds=5)
        executions = [deployment.execute(machine, id=str(n)) for n in range(5)]
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:  # more than twice the state's HeartbeatSeconds
            assert not any(deployment.happened(e, "ActivityStarted") for e in executions)
            assert deployment.status()["totals"]["in_flight"] == 0
            time.sleep(1)
        deployment.worker()
        assert {deployment.ended(e)["status"] for e in executions} == {"SUCCEEDED"}


class TestExistingApp:
    APP = """
import os
from celery import Celery, shared_task
import bridge

app = Celery("shop")
bridge.install(app)

@shared_task(activity=os.environ["JOBS_PREFIX"] + "-shop", heartbeat=1)
def price(event):
    return {"price": event["amount"] * 2}
"""

    def test_an_app_of_ten_lines_works(self, deploy):
        """A user's own app with bridge.install(app): poll, worker, beat, status."""
        deployment = deploy(BRIDGE_TASKS="", PYTHONPATH="")
        del deployment.env["BRIDGE_TASKS"]
        (deployment.folder / "shop.py").write_text(self.APP)
        made = deployment.run("activities", "create", app="shop")
        assert made.returncode == 0, made.stderr
        deployment.worker(app="shop")
        deployment.beat(app="shop")
        deployment.poller(app="shop")
        assert deployment.outcome("shop", amount=21) == ("SUCCEEDED", {"price": 42}, "")
        status = json.loads(deployment.run("status", "--json", app="shop").stdout)
        assert status["activities"][0]["activity"] == f"{deployment.prefix}-shop"

    def test_remedies_name_that_app(self, deploy):
        """The commands that the doctor and errors suggest have the app's name."""
        deployment = deploy(PYTHONPATH="")
        del deployment.env["BRIDGE_TASKS"]
        (deployment.folder / "shop.py").write_text(self.APP)
        found = json.loads(deployment.run("doctor", "--json", app="shop").stdout)
        told = "\n".join(each["detail"] + "\n" + each["remedy"] for each in found)
        name = f"{deployment.prefix}-shop"
        for command in (
            f"activities create {name}",
            "activities create",
            "worker -Q celery",
            "poll",
            "worker -B -Q bridge.system --pool threads",
        ):
            assert f"celery -A shop {command}\n" in told + "\n"
        assert "-A bridge" not in told
        lost = deployment.run("poll", app="shop.app", BRIDGE_TASKS="nowhere")
        assert "celery -A shop.app looks for it in the working directory first" in lost.stderr

    def test_celerys_own_status_is_kept_for_other_apps(self, deploy):
        """`celery -A plain status` is still Celery's command."""
        deployment = deploy()
        (deployment.folder / "plain.py").write_text("from celery import Celery\napp = Celery()\n")
        assert "--destination" in deployment.run("status", "--help", app="plain").stdout
        assert "--destination" not in deployment.run("status", "--help").stdout


class TestBoundTask:
    def test_a_task_that_cannot_be_edited_is_an_activity_by_setting(self, deploy):
        """BRIDGE_ACTIVITIES gives an activity to a task that does not name one."""
        deployment = deploy(JOBS_ONLY="none")
        binding = json.dumps({f"{deployment.prefix}-bound": "jobs.plain"})
        deployment.env["BRIDGE_ACTIVITIES"] = binding
        deployment.create_activities()
        deployment.worker()
        deployment.poller()
        assert deployment.outcome("bound", id="b") == ("SUCCEEDED", {"id": "b"}, "")

    def test_the_log_names_the_activity_of_a_task_that_serves_several(self, deploy):
        """It does so for the first run and after a retry."""
        deployment = deploy(JOBS_ONLY="retry")
        binding = {f"{deployment.prefix}-{kind}": "jobs.retry" for kind in ("also", "too")}
        deployment.env["BRIDGE_ACTIVITIES"] = json.dumps(binding)
        deployment.create_activities()
        worker = deployment.worker()
        deployment.poller()
        for kind in ("retry", "too", "also"):
            assert deployment.outcome(kind, id=kind, failures=1)[0] == "SUCCEEDED"
        # The pool's processes log the two runs in any order, and after the outcome is stored.
        expected = {
            (event, kind): times
            for kind in ("retry", "too", "also")
            for event, times in (("task_started", 2), ("task_retried", 1), ("task_completed", 1))
        }

        def said() -> Counter[tuple[str, str]]:
            pattern = rf"(task_\w+) activity={deployment.prefix}-(\w+)"
            return Counter(re.findall(pattern, worker.output))

        wait_until(lambda: said().total() >= sum(expected.values()), what="all events are logged")
        assert said() == expected


class TestRefusedStart:
    @pytest.mark.parametrize("command", [["worker"], ["poll"], ["status"]])
    def test_a_bad_name_is_one_clear_sentence(self, deploy, command):
        """The exit status is 2, and there is one sentence and no traceback."""
        deployment = deploy(BRIDGE_TASKS="bad")
        (deployment.folder / "bad.py").write_text(
            "from celery import shared_task\n"
            "@shared_task(activity='bad name!')\ndef work(event): ...\n"
        )
        ended = deployment.run(*command)
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        said = ended.stderr.strip().splitlines()
        assert "activity name 'bad name!' has ' ' at position 4" in said[-1]
        # Only for root, Celery's own warning comes first.
        assert len(said) == 1 or "superuser privileges" in ended.stderr

    def test_a_missing_activity_is_answered_with_the_command_that_creates_it(self, deploy):
        ended = deploy(JOBS_ONLY="echo").run("poll")
        assert ended.returncode == 2
        assert "celery -A bridge activities create" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_name_and_its_arn_are_one_activity(self, deploy):
        """Two tasks have one activity, which shows only when the name is resolved to its ARN."""
        deployment = deploy(BRIDGE_TASKS="two_tasks")
        arn = deployment.arn("work")
        (deployment.folder / "two_tasks.py").write_text(
            "from celery import shared_task\n"
            f"@shared_task(activity={deployment.prefix + '-work'!r})\ndef one(event): ...\n"
            f"@shared_task(activity={arn!r})\ndef two(event): ...\n"
        )
        deployment.create_activities()
        ended = deployment.run("poll")
        assert ended.returncode == 2
        assert "are the same activity" in ended.stderr

    def test_an_unknown_setting_is_refused(self, deploy):
        ended = deploy(BRIDGE_LEASE_SECONDS="3").run("worker")
        assert ended.returncode == 2
        assert "Did you mean BRIDGE_LEASE_S?" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_missing_tasks_are_explained(self, deploy):
        ended = deploy(BRIDGE_TASKS="nowhere").run("worker")
        assert ended.returncode == 2
        assert "BRIDGE_TASKS names 'nowhere'" in ended.stderr
