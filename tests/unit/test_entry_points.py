"""What the bridge makes every ``celery`` command on the machine load, of any app."""

from __future__ import annotations

import json
import subprocess
import sys

LOADED = """
import json, sys
from importlib.metadata import distribution
for entry in distribution("celery-stepfunctions").entry_points:
    if entry.group == "celery.commands":
        entry.load()
print(json.dumps(sorted(sys.modules)))
"""


def test_commands_load_only_their_descriptions():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert {"bridge.cli.poll", "bridge.infra.command", "bridge.lint.command"} <= loaded
    dear = {"aiohttp", "bridge.settings", "boto3", "botocore", "flower", "pydantic", "redis"}
    assert not loaded & dear
