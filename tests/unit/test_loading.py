"""What an import loads, and what is shown when it fails: Celery hides an app's ImportError."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOP = """
import bridge
from celery import Celery

app = bridge.install(Celery("shop"))
"""


@pytest.mark.parametrize("app", ["bridge", "shop"])
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("raise ImportError('no such parser')", "ImportError: no such parser"),
        ("import a_missing_package", "No module named 'a_missing_package'"),
        ("", "ImportError: cannot import name 'BaseSettings'"),
        ("import sys\nsys.no_such_name", "module 'sys' has no attribute 'no_such_name'"),
    ],
)
def test_the_reason_of_a_failed_import_is_shown(tmp_path, app, broken, says):
    (tmp_path / "pydantic_settings.py").write_text(broken)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "celery.py").write_text(SHOP)
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", app, "report"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    # The traceback above it tells what Celery went through.
    *_, last = done.stderr.strip().splitlines()
    assert "CannotLoad: the bridge cannot be loaded" in last
    assert says in last


def test_a_worker_loads_nothing_that_talks_to_aws():
    """It is a third of the imports, and only processes that serve bridge.system need it."""
    code = "import sys, bridge.installer; print({'aiohttp', 'botocore'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
