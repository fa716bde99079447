"""The handler as it is deployed: its module, its environment and its template."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import cfnlint.api
from cfnlint.config import ManualArgs

from bridge import aws_lambda
from bridge.aws_lambda import time_needed_s
from bridge.settings import Settings
from tests.integration.aws_lambda.scene import nothing


class TestAsDeployed:
    def test_the_handler_of_the_module_takes_app_and_settings_from_the_environment(
        self, scene, tmp_path
    ):
        """Two invocations of one process, as Lambda starts it."""
        (tmp_path / "nightly.py").write_text(
            textwrap.dedent(f"""
                from celery import shared_task

                @shared_task(activity={scene.activity!r})
                def work(event):
                    raise AssertionError("jobs do not run here")
            """)
        )
        (tmp_path / "runtime.py").write_text(
            textwrap.dedent("""
                import json
                from importlib import import_module

                class Context:
                    def get_remaining_time_in_millis(self):
                        return 120_000

                handler = import_module("bridge.aws_lambda").handler
                for _ in range(2):
                    print(json.dumps(handler({"source": "aws.scheduler"}, Context())))
            """)
        )
        scene.jobs.renew_lease("w1", number=1, slots=4, queues=["celery"])
        for _ in range(2):
            scene.execute()
        done = subprocess.run(
            [sys.executable, "runtime.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "BRIDGE_TASKS": "nightly", "CELERY_BROKER_URL": scene.broker_url},
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines == [nothing(polled=1, claimed=1, dispatched=1)] * 2, done.stderr
        tokens = [task.partition("\n")[0] for task in scene.keys("task:*").values()]
        assert len(tokens) == 2
        assert not any(token in done.stdout + done.stderr for token in tokens)

    def test_the_template_of_the_docs_is_valid_and_gives_enough_time(self):
        text = (Path(__file__).parents[3] / "docs/lambda.md").read_text()
        (template,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        regions = ManualArgs(regions=["us-east-1", "eu-west-1"])
        assert cfnlint.api.lint(template, config=regions) == []
        timeout_s = int(re.search(r"Timeout: (\d+)", template)[1])
        needed_s = time_needed_s(Settings())
        assert timeout_s >= needed_s + 25, "a cold start takes some of it"
        assert f"only while {needed_s:.0f} s are left" in text
        module, _, name = re.search(r"Handler: (\S+)", template)[1].rpartition(".")
        assert (module, callable(getattr(aws_lambda, name))) == ("bridge.aws_lambda", True)


def test_it_uses_only_what_a_poller_offers():
    """The private parts of a poller may change."""
    assert re.findall(r"poller\._\w+", inspect.getsource(aws_lambda)) == []
