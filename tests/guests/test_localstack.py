"""The main path with LocalStack's Step Functions, where LocalStack is installed."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.local.child_processes import clean_environment, die_with_parent, free_port
from bridge.local.valkey import LocalValkey
from tests.guests.app_run import EXECUTIONS
from tests.guests.host_app import HostApp
from tests.waiting import wait_until

START_TIMEOUT_S = 120.0
NEEDED = "import localstack.runtime.main, localstack.services.stepfunctions.provider"


def _python() -> str:
    """The Python interpreter that has LocalStack's server; empty if there is none."""
    command = shutil.which("localstack-supervisor")  # `localstack` is only the client
    if command is None:
        return ""
    python = Path(command).resolve().with_name("python")
    if not python.exists():
        return ""
    asked = subprocess.run([python, "-c", NEEDED], capture_output=True, check=False)
    return str(python) if asked.returncode == 0 else ""


@pytest.fixture(scope="module")
def localstack(tmp_path_factory) -> Iterator[str]:
    """The URL of a LocalStack that answers."""
    python = _python()
    if not python:
        pytest.skip("no localstack-supervisor on PATH whose Python has localstack-core[runtime]")
    address, folder = f"127.0.0.1:{free_port()}", tmp_path_factory.mktemp("localstack")
    env = clean_environment() | {
        "DISABLE_EVENTS": "1",
        "EAGER_SERVICE_LOADING": "0",
        "FILESYSTEM_ROOT": str(folder),
        "GATEWAY_LISTEN": address,
        "SERVICES": "stepfunctions",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }
    log = folder / "localstack.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [python, "-m", "localstack.runtime.main"],
            env=env,
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://{address}/_localstack/health", timeout=2):
                return True
        except OSError:
            return False

    try:
        wait_until(answers, timeout_s=START_TIMEOUT_S, what="LocalStack answers")
        yield f"http://{address}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def test_activities_run_on_localstack(localstack, tmp_path):
    with LocalValkey() as valkey:
        host = HostApp(
            "green",
            tmp_path / "green",
            bridge=True,
            stepfunctions_url=localstack,
            BROKER=valkey.url,
        )
        try:
            host.start_bridge()
            host.worker("crawler", "--queues", "crawls", "--pool", "gevent", "--concurrency", "4")
            executions = host.execute("green-crawl", *({"number": n} for n in range(EXECUTIONS)))
            crawled = [("SUCCEEDED", {"crawled": number}) for number in range(EXECUTIONS)]
            assert host.ended(executions) == crawled, host.output
        finally:
            host.stop()
