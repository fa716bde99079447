"""The commands as users and scripts call them."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.deployment import CELERY, Deployment, wait_until

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]


class TestDemo:
    @pytest.fixture
    def checkout(self, tmp_path) -> Path:
        """What the demo needs of the repository, in a folder of its own."""
        for name in ("tasks", "Procfile"):
            (tmp_path / name).symlink_to(ROOT / name)
        return tmp_path

    def test_every_execution_ends_as_expected_and_no_process_is_left(self, checkout):
        """One execution of each kind, on real processes; the result names the chart, a PNG."""
        env = {**os.environ, "BRIDGE_UNKNOWN": "ignored: the demo has an environment of its own"}
        done = subprocess.run(
            [str(CELERY), "-A", "bridge", "demo", "--executions", "4", "--json"],
            cwd=checkout,
            env=env,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["ok"]
        by_kind = {each["kind"]: each for each in report["executions"]}
        assert by_kind["plain"]["status"] == "SUCCEEDED"
        assert by_kind["outage"]["retries"] == 1
        assert by_kind["thorough"]["heartbeats"] >= 1
        assert by_kind["refused"]["status"] == "FAILED"
        assert Path(report["chart"]).read_bytes().startswith(b"\x89PNG")
        left = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(checkout)]
        assert left == []

    def test_elsewhere_it_says_what_it_needs(self, tmp_path):
        done = subprocess.run(
            [str(CELERY), "-A", "bridge", "demo"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert "it runs in a checkout" in done.stderr


class TestSettings:
    def test_secrets_are_masked(self, deploy):
        deployment = deploy(
            CELERY_BROKER_URL="redis://:s3cret@127.0.0.1:1/0",
            CELERY_RESULT_BACKEND="redis://user:hidden@127.0.0.1:1/1",
        )
        for args in (["settings"], ["settings", "--json"]):
            shown = deployment.run(*args)
            assert shown.returncode == 0, shown.stderr
            assert "s3cret" not in shown.stdout + shown.stderr
            assert "hidden" not in shown.stdout
            assert "redis://:***@127.0.0.1:1/0" in shown.stdout


class TestActivities:
    def test_create_is_idempotent_and_list_shows_them(self, deploy):
        deployment = deploy(JOBS_ONLY="echo sleep")
        for _ in range(2):
            made = deployment.run("activities", "create", "--json")
            assert made.returncode == 0, made.stderr
            assert set(json.loads(made.stdout).values()) == {
                deployment.arn("echo"),
                deployment.arn("sleep"),
            }
        listed = json.loads(deployment.run("activities", "list", "--json").stdout)
        assert listed[f"{deployment.prefix}-echo"] == deployment.arn("echo")

    def test_every_arn_that_a_task_may_have_is_created(self, deploy):
        """AWS allows more in a name than the bridge does, such as dots."""
        arns = [
            dotted := "arn:aws:states:us-east-1:123456789012:activity:Orders.Resize.v2",
            dotted.replace("Resize", "Größe"),
        ]
        deployment = deploy(
            JOBS_ONLY="echo", BRIDGE_ACTIVITIES=json.dumps(dict.fromkeys(arns, "jobs.echo"))
        )
        for _ in range(2):
            made = deployment.run("activities", "create", "--json")
            assert made.returncode == 0, made.stderr
            assert set(json.loads(made.stdout)) == {f"{deployment.prefix}-echo", *arns}
        described = deployment.run("activities", "describe", "--json")
        assert {each["arn"] for each in json.loads(described.stdout)} >= set(arns)
        gone = deployment.run("activities", "delete", "--yes", *arns)
        assert gone.returncode == 0, gone.stderr

    def test_others_are_created_although_one_cannot_be(self, deploy):
        deployment = deploy(JOBS_ONLY="echo")
        away = "arn:aws:states:us-east-1:210987654321:activity:a"  # an account without a role here
        made = deployment.run("activities", "create", away, f"{deployment.prefix}-b", "--json")
        assert made.returncode == 2
        assert "BRIDGE_ROLES" in made.stderr
        assert json.loads(made.stdout) == {f"{deployment.prefix}-b": deployment.arn("b")}

    def test_others_are_described_although_one_is_missing(self, deploy):
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        arns = [deployment.arn("nothing"), deployment.arn("echo")]
        shown = deployment.run("activities", "describe", *arns, "--json")
        assert shown.returncode == 1
        assert f"{deployment.prefix}-nothing" in shown.stderr
        assert [each["arn"] for each in json.loads(shown.stdout)] == [deployment.arn("echo")]

    def test_an_activity_from_its_creation_to_its_deletion(self, deploy):
        deployment = deploy(JOBS_ONLY="echo")
        made = deployment.run("activities", "create", "--tag", "team=images")
        assert made.returncode == 0, made.stderr
        (found,) = json.loads(deployment.run("activities", "describe", "--json").stdout)
        assert (found["name"], found["arn"]) == (
            f"{deployment.prefix}-echo",
            deployment.arn("echo"),
        )
        tags = deployment.sfn.list_tags_for_resource(resourceArn=found["arn"])["tags"]
        assert tags == [{"key": "team", "value": "images"}]
        shown = deployment.run("activities", "describe", found["name"])
        assert found["arn"] in shown.stdout
        kept = deployment.run("activities", "delete", found["name"])
        assert (kept.returncode, "Delete 1 activities?" in kept.stderr) == (1, True)
        gone = deployment.run("activities", "delete", "--yes", found["name"])
        assert gone.returncode == 0, gone.stderr
        missing = deployment.run("activities", "describe")
        assert missing.returncode == 2
        assert f"celery -A bridge activities create {found['name']}" in missing.stderr

    @pytest.mark.parametrize(
        ("args", "says"),
        [
            (["create", "--tag", "team"], "is not KEY=VALUE"),
            (["create", "--tag", "=x"], "at least 1"),
            (["delete"], "NAMES"),
        ],
    )
    def test_wrong_usage_is_refused(self, deploy, args, says):
        done = deploy(JOBS_ONLY="echo").run("activities", *args)
        assert done.returncode == 2
        assert says in done.stderr

    def test_a_bad_name_is_refused(self, deploy):
        made = deploy().run("activities", "create", "bad name!")
        assert made.returncode == 2
        assert "at position 4" in made.stderr

    def test_an_endpoint_that_is_away_is_reported_in_one_sentence(self, deploy):
        listed = deploy(AWS_ENDPOINT_URL_SFN="http://127.0.0.1:1").run("activities", "list")
        assert listed.returncode == 1
        assert "Traceback" not in listed.stderr
        assert "127.0.0.1:1" in listed.stderr


class TestStatus:
    def test_the_list_of_commands_says_what_it_shows(self, deploy):
        shown = deploy().run("--help").stdout
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == ["status"]]
        assert "Show each activity's claims" in line

    def test_an_activity_with_nothing_in_flight(self, deploy):
        deployment = deploy(JOBS_ONLY="echo")
        status = deployment.status()
        (row,) = status["activities"]
        assert row["activity"] == f"{deployment.prefix}-echo"
        assert (row["in_flight"], row["slots"], row["oldest_s"]) == (0, 0, None)
        assert row["state"] == "created"
        shown = deployment.run("status")
        assert shown.returncode == 0
        assert shown.stdout.splitlines()[2].split()[:3] == [row["activity"], "created", "0"]

    def test_it_shows_what_runs_and_since_when(self, deploy):
        deployment = deploy(JOBS_ONLY="sleep")
        deployment.create_activities()
        deployment.worker(concurrency=2)
        deployment.beat()
        deployment.poller()
        execution = deployment.execute(deployment.one_state("sleep"), id="s", seconds=5)
        (row,) = wait_until(lambda: self.rows(deployment, running=1))
        assert (row["in_flight"], row["slots"], row["lost"]) == (1, 2, 0)
        assert row["state"] == "processing"
        assert 0 < row["oldest_s"] < 60
        assert deployment.ended(execution)["status"] == "SUCCEEDED"

    @staticmethod
    def rows(deployment: Deployment, *, running: int):
        return [r for r in deployment.status()["activities"] if r["running"] == running]

    def test_why_nothing_is_claimed(self, deploy):
        """What the ledger would answer a poller: for an idle, a full and a draining fleet."""
        deployment = deploy(JOBS_ONLY="sleep", BRIDGE_LOOK_AHEAD="1.25")
        deployment.create_activities()
        worker = deployment.worker(concurrency=2)
        deployment.poller()
        name = f"{deployment.prefix}-sleep"

        def why(reason: str, code: int, *, waiting: int = 0) -> dict[str, Any]:
            def answered():
                done = deployment.run("status", "--why", name, "--json")
                assert done.stdout, done.stderr
                answer = json.loads(done.stdout)
                found = (answer["reason"], answer["claims"]["waiting"])
                return (done.returncode, answer) if found == (reason, waiting) else None

            returncode, answer = wait_until(answered, timeout_s=60, what=f"it says {reason}")
            assert returncode == code
            return answer

        found = why("idle poll", 0)
        assert (found["polls"], found["refusal"]) == ({"fresh": 0, "idle": 1}, "covered")
        assert (found["workers"]["slots"], found["workers"]["free"]) == (2, 2)

        machine = deployment.one_state("sleep")
        for number in range(5):
            deployment.execute(machine, id=str(number), seconds=60)
        wait_until(lambda: len(deployment.seen("sleep")) == 2, what="both slots are taken")
        found = why("no room", 0, waiting=1)
        assert found["claims"]["running"] == 2
        room = {key: found["room"][key] for key in ("offered", "used", "waiting_room", "charged")}
        assert room == {"offered": 2, "used": 2, "waiting_room": 1, "charged": 1}
        said = " ".join(deployment.run("status", "--why", name).stdout.split())
        assert f"{name}: 2 claims run, 1 waits." in said
        assert "The waiting room takes 1 claim (BRIDGE_LOOK_AHEAD=1.25 × 2 slots" in said

        worker.signal(signal.SIGTERM)
        found = why("no worker", 1, waiting=1)
        assert (found["workers"]["draining"], found["workers"]["slots"]) == (1, 0)
        unknown = deployment.run("status", "--why", "nothing")
        assert unknown.returncode == 2
        assert f"the activity nothing. Known: {name}." in unknown.stderr

    def test_watch_in_a_terminal(self, deploy):
        """It shows what happens until Ctrl-C."""
        deployment = deploy(JOBS_ONLY="echo")
        deployment.create_activities()
        deployment.worker()
        deployment.poller()
        master, terminal = pty.openpty()
        watching = subprocess.Popen(
            [str(CELERY), "-A", "bridge", "status", "--watch"],
            env={**deployment.env, "COLUMNS": "160"},
            cwd=deployment.folder,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        shown = b""

        def shows(text: bytes) -> bool:
            nonlocal shown
            with contextlib.suppress(OSError):  # the other end is closed
                while select.select([master], [], [], 0)[0]:
                    shown += os.read(master, 65536)
            return text in shown

        wait_until(lambda: shows(b"Ctrl-C ends"))
        assert deployment.outcome("echo", id="e")[0] == "SUCCEEDED"
        (row,) = wait_until(
            lambda: [r for r in deployment.status()["activities"] if r["succeeded"]]
        )
        assert (row["succeeded"], row["failed"]) == (1, 0)
        shown = b""
        wait_until(lambda: shows(b"ended/min"))
        wait_until(lambda: shows(b"polling"))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
        os.close(master)
        assert deployment.run("status", "--watch", "--json").returncode == 2

    def test_a_store_that_is_away_is_reported_in_one_sentence(self, deploy):
        shown = deploy(CELERY_BROKER_URL="redis://:s3cret@127.0.0.1:1/0").run("status")
        assert shown.returncode == 1
        assert "the claim store redis://:***@127.0.0.1:1/0 does not answer" in shown.stderr
        assert "s3cret" not in shown.stderr
        assert "Traceback" not in shown.stderr


class TestQueuesThatCeleryMayNotMake:
    """An app with task_create_missing_queues=False: one sentence names the missing queue."""

    APP = """
import os
from celery import Celery, shared_task
from kombu import Queue
import bridge

app = Celery("shop")
app.conf.task_create_missing_queues = False
app.conf.task_queues = [Queue(name) for name in os.environ["QUEUES"].split()]
bridge.install(app)

@shared_task(activity=os.environ["JOBS_PREFIX"] + "-shop", heartbeat=1)
def price(event):
    return event
"""

    @pytest.fixture
    def shop(self, deploy) -> Deployment:
        deployment = deploy(PYTHONPATH="")
        del deployment.env["BRIDGE_TASKS"]
        (deployment.folder / "shop.py").write_text(self.APP)
        return deployment

    BEAT = ("worker", "-B", "-Q", "bridge.system", "--pool", "threads")

    @pytest.mark.parametrize(
        ("args", "queues", "missing"),
        [
            (BEAT, "celery", "bridge.system"),
            *(
                (args, "bridge.system", "celery")
                for args in (
                    BEAT,
                    ("poll",),
                    ("worker",),
                    ("status",),
                    ("doctor",),
                    ("lint", "x.json"),
                    ("infra", "iam"),
                    ("activities", "create"),
                )
            ),
        ],
    )
    def test_a_missing_queue_is_reported_in_one_sentence(self, shop, args, queues, missing):
        (shop.folder / "x.json").write_text('{"StartAt": "A", "States": {"A": {"Type": "Pass"}}}')
        done = shop.run(*args, app="shop", QUEUES=queues)
        assert "Traceback" not in done.stderr
        assert f"queue {missing!r} is not in task_queues" in done.stderr
        assert f"Add kombu.Queue({missing!r}) to task_queues." in done.stderr
        assert done.returncode == 2

    def test_with_both_queues_it_works(self, shop):
        shop.env["QUEUES"] = "celery bridge.system"
        made = shop.run("activities", "create", app="shop")
        assert made.returncode == 0, made.stderr
        shop.worker(app="shop")
        credentials = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        beat = (*self.BEAT, "--loglevel", "INFO", "--hostname", "beat-queues@%h")
        shop.start("beat", *beat, app="shop", **credentials).says("ready.")
        shop.start("poller", "poll", app="shop", **credentials).says("serves")
        assert shop.outcome("shop", amount=21) == ("SUCCEEDED", {"amount": 21}, "")
        status = json.loads(shop.run("status", "--json", app="shop").stdout)
        assert sorted(each["queues"] for each in status["workers"]) == [
            ["bridge.system"],
            ["celery"],
        ]
