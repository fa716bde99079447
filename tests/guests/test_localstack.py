"""The main path against LocalStack, where it is installed: another Step Functions than ours."""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.local.child_processes import clean_environment, die_with_parent, free_port
from bridge.local.valkey import LocalValkey
from tests.guests.guest import Guest
from tests.guests.life import EXECUTIONS
from tests.waiting import wait_until

START_TIMEOUT_S = 120.0
NEEDED = "import localstack.runtime.main, localstack.services.stepfunctions.provider"


def _python() -> str:
    """The Python that has LocalStack's server; empty: none."""
    command = shutil.which("localstack-supervisor")  # of the server; `localstack` is its client
    if command is None:
        return ""
    python = Path(command).resolve().with_name("python")
    if not python.exists():
        return ""
    asked = subprocess.run([python, "-c", NEEDED], capture_output=True, check=False)
    return str(python) if asked.returncode == 0 else ""


@pytest.fixture(scope="module")
def localstack(tmp_path_factory) -> Iterator[str]:
    """Where LocalStack answers."""
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


def test_activities(localstack, tmp_path):
    with LocalValkey() as valkey:
        guest = Guest(
            "green",
            tmp_path / "green",
            bridge=True,
            stepfunctions_url=localstack,
            BROKER=valkey.url,
        )
        try:
            guest.start_bridge()
            guest.worker("crawler", "--queues", "crawls", "--pool", "gevent", "--concurrency", "4")
            executions = guest.execute("green-crawl", *({"number": n} for n in range(EXECUTIONS)))
            crawled = [("SUCCEEDED", {"crawled": number}) for number in range(EXECUTIONS)]
            assert guest.ended(executions) == crawled, guest.output
        finally:
            guest.stop()
