"""Optional parts are off with a version that was not tested, or by the user's setting."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from bridge import versions
from bridge.cli.doctor.installed_versions import check_optional_parts
from bridge.cli.doctor.result import Level

INSTALLED = """
import json, sys
from bridge import versions
real = versions.version
versions.version = lambda name: sys.argv[1] if name in ("celery", "kombu") else real(name)
import bridge.cli.status.command
from celery import Celery
from celery.bin.control import status
from kombu.transport.redis import SentinelTransport, Transport
from bridge.installer import install
app = install(Celery("shop", broker="redis://127.0.0.1:1/0"))
print(json.dumps({
    "steps": sorted(step.__name__ for step in app.steps["consumer"]),
    "mended": [name for name in ("_connparams", "_create_client")
               if getattr(Transport.Channel, name).__module__.startswith("bridge")
               and getattr(SentinelTransport.Channel, name).__module__.startswith("bridge")],
    "modules": sorted(name for name in sys.modules if name.startswith("bridge.")),
    "status": type(status).__module__,
}))
"""


@pytest.fixture
def installed(monkeypatch):
    """Sets the versions that seem to be installed."""
    found = {"celery": "5.7.0", "kombu": "5.7.0", "redis": "8.1.0"}
    monkeypatch.setattr(versions, "version", found.__getitem__)
    monkeypatch.delenv(versions.SWITCH, raising=False)
    versions.installed_version.cache_clear()
    yield found.update
    versions.installed_version.cache_clear()


class TestVersions:
    def test_all_is_on_with_the_versions_of_the_tests(self, installed):
        assert not list(versions.all_off())

    @pytest.mark.parametrize("newer", ["5.8.0", "5.10.1", "6.0.0rc1", "6"])
    def test_a_newer_version_is_untested(self, installed, newer):
        installed(kombu=newer)
        off = versions.why_off("gathered deliveries")
        assert off
        assert off.untested
        assert f"kombu below 5.8 only, and {newer} is here" in off.reason
        assert not versions.enabled("gathered deliveries")
        assert versions.enabled("gathered events")  # not kombu's

    def test_a_part_is_off_with_a_version_that_lacks_it(self, installed):
        installed(kombu="5.6.2")
        off = versions.why_off("batch publishing")
        assert off
        assert not off.untested
        assert off.reason == "it needs kombu 5.7, and 5.6.2 is here"

    def test_the_setting_switches_all_off_but_the_command(self, installed, monkeypatch):
        monkeypatch.setenv(versions.SWITCH, "off")
        on = [name for name in versions.PARTS if versions.why_off(name) is None]
        assert on == ["status command"]


class TestWhatIsSaid:
    def test_one_line_says_what_is_off_and_why(self, installed, caplog):
        installed(kombu="5.9.1")
        with caplog.at_level(logging.INFO):
            versions.log_off(logging.getLogger("bridge.test"))
        (line,) = caplog.messages
        assert "batch publishing, gathered deliveries" in line
        assert line.count("5.9.1 is here") == 1

    def test_nothing_is_said_while_all_is_on(self, installed, caplog):
        versions.log_off(logging.getLogger("bridge.test"))
        assert not caplog.messages

    def test_doctor_has_a_row_and_warns_of_what_is_untested(self, installed):
        installed(kombu="5.9.1")
        found = list(check_optional_parts())
        assert {row.level for row in found} == {Level.WARNING}
        (row,) = [row for row in found if row.check == "optional part: batch receiving"]
        assert "5.9.1" in row.detail
        assert "one by one" in row.remedy

    def test_doctor_does_not_warn_of_what_the_user_switched_off(self, installed, monkeypatch):
        monkeypatch.setenv(versions.SWITCH, "off")
        found = list(check_optional_parts())
        assert len(found) == len(versions.PARTS) - 1
        assert {row.level for row in found} == {Level.OK}

    def test_doctor_has_one_row_while_all_is_on(self, installed):
        (row,) = check_optional_parts()
        assert row.level is Level.OK


class TestInstall:
    """An app with another version of Celery and kombu."""

    def run(self, version: str, **env: str) -> dict[str, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", INSTALLED, version],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        answer: dict[str, list[str]] = json.loads(done.stdout)
        return answer

    def test_with_the_tested_ones_all_parts_are_added(self):
        seen = self.run("5.7.0")
        assert {"BatchAcks", "BatchEvents", "TakeMany"} <= set(seen["steps"])
        assert seen["mended"] == ["_connparams", "_create_client"]
        assert seen["status"] == "bridge.cli.status.command"

    def test_with_untested_ones_nothing_reaches_inside(self):
        seen = self.run("5.8.0")
        assert not seen["steps"]
        assert not seen["mended"]
        assert seen["status"] == "celery.bin.base"
        # Even their imports may fail there.
        parts = {
            "bridge.worker.redis_transport.batch_acks",
            "bridge.worker.batch_events",
            "bridge.worker.redis_transport.take_many",
            "bridge.worker.redis_transport.kombu_fixes",
        }
        assert not parts & set(seen["modules"])

    def test_switched_off_only_the_command_is_replaced(self):
        seen = self.run("5.7.0", **{versions.SWITCH: "off"})
        assert not seen["steps"]
        assert not seen["mended"]
        assert seen["status"] == "bridge.cli.status.command"
