"""What a process id and a command line tell of a celery process."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from celery.utils.nodenames import default_nodename, host_format

from bridge.healthcheck.celery_process import (
    CeleryProcess,
    celery_args,
    find_process,
    living_parent,
)


def test_a_process_without_a_command_line_lives():
    """A process has none for a moment when it starts another program."""
    without = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if not path.read_bytes() and living_parent(int(path.parent.name)) is not None
    )
    pid = next(without, None)
    if pid is None:
        pytest.skip("no thread of the kernel is seen here")
    assert find_process(pid).args == ()


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("/opt/bridge/bin/python /opt/bridge/bin/celery -A bridge poll", "-A bridge poll"),
        ("/usr/bin/python3.13 -m celery -A bridge poll", "-A bridge poll"),
        ("python -X dev -m celery -A bridge poll", "-A bridge poll"),
        ("celery -A bridge poll", "-A bridge poll"),
        ("/sbin/docker-init -- celery -A bridge poll", None),
        ("/dev/init -- celery -A bridge poll", None),
        ("sh -c celery", None),
        ("", None),
    ],
)
def test_celery_is_told_from_what_starts_it(command, args):
    found = celery_args(command.split())
    assert found == (None if args is None else args.split())


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("-A bridge poll", "poll"),
        ("-A bridge worker --concurrency 4", "worker"),
        ("-A bridge worker -B -Q bridge.system", "beat"),
        ("-A bridge worker --beat --queues=celery,bridge.system", "beat"),
        ("-A shop worker -B", "worker"),  # the beat of the app's own periodic tasks
        ("-A shop worker -B -Q celery", "worker"),
        ("-A bridge flower --port=5555", "flower"),
        ("-A bridge doctor", ""),
        ("", ""),
    ],
)
def test_the_command_line_tells_the_role(command, role):
    assert CeleryProcess(1, tuple(command.split())).role == role


@pytest.mark.parametrize(
    "hostname", [None, "worker@%h", "worker-7@%h", "w@%n", "w@%d", "%n@%h", "w@there", "there"]
)
@pytest.mark.parametrize("host", ["0a1b2c3d", "ip-10-0-0-1.ec2.internal"])
@pytest.mark.parametrize("way", ["--hostname {}", "--hostname={}", "-n {}"])
def test_the_node_name_is_the_one_that_celery_makes(monkeypatch, hostname, host, way):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr("celery.utils.nodenames.gethostname", lambda: host)
    args = ["worker", *(way.format(hostname).split() if hostname else [])]
    assert CeleryProcess(1, tuple(args)).node_name == host_format(default_nodename(hostname))
