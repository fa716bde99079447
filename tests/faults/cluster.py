"""A Redis Cluster of three primaries with a replica each, all real Valkey processes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import redis
from redis.crc import key_slot

from bridge.local.child_processes import free_port
from bridge.local.valkey import LocalValkey
from tests.waiting import wait_until

PRIMARIES = 3
SLOTS = 16384
NODE_TIMEOUT_MS = 1000


class Cluster:
    """A context manager. The replica of a killed primary takes its slots over within seconds."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [
            LocalValkey(
                data_dir=folder / f"node-{number}",
                options=(
                    *("--cluster-enabled", "yes"),
                    *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
                    *("--cluster-port", str(free_port())),
                    *("--cluster-replica-validity-factor", "0"),
                    *("--repl-diskless-sync-delay", "0"),
                ),
            )
            for number in range(2 * PRIMARIES)
        ]

    @property
    def url(self) -> str:
        """The URL of its first node, which stands for a configuration endpoint."""
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        ids = {node: str(_ask(node, "CLUSTER MYID")) for node in self.nodes}
        first, primaries = self.nodes[0], self.nodes[:PRIMARIES]
        for number, primary in enumerate(primaries):
            begin, end = SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1
            _ask(primary, "CLUSTER ADDSLOTSRANGE", begin, end)
            _ask(primary, "CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            bus = _ask(node, "CONFIG GET", "cluster-port")
            port = bus["cluster-port"] if isinstance(bus, dict) else bus[1]
            _ask(first, "CLUSTER MEET", "127.0.0.1", node.port, port)
        wait_until(lambda: all(_knows(n, len(self.nodes)) for n in self.nodes), what="all have met")
        for replica, primary in zip(self.nodes[PRIMARIES:], primaries, strict=True):
            _ask(replica, "CLUSTER REPLICATE", ids[primary])
        wait_until(lambda: all(map(_is_up, self.nodes)), what="the cluster is up")
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def owner(self, key: str) -> LocalValkey:
        """The primary that has this key's slot, according to the first node that answers."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            try:
                ranges = _ask(node, "CLUSTER SLOTS")
            except redis.exceptions.ConnectionError:
                continue
            for begin, end, (_, port, *_), *_ in ranges:
                if begin <= slot <= end:
                    return next(each for each in self.nodes if each.port == port)
        raise AssertionError(f"no living node knows the owner of slot {slot}")

    def failover(self, killed: LocalValkey, key: str) -> LocalValkey:
        """Wait until another node than the killed one has this key's slot; that node."""

        def moved() -> LocalValkey | None:
            owner = self.owner(key)
            return owner if owner is not killed else None

        return wait_until(moved, what=f"a replica takes the slots of port {killed.port}")

    def move_slot(self, key: str) -> LocalValkey:
        """Move the slot of a key, with all its keys, to another primary; that primary.

        Keys are moved ten at a time, as redis-cli does. Meanwhile the source redirects (ASK), and a
        script whose keys are on both nodes is refused (TRYAGAIN).
        """
        slot, source = key_slot(key.encode()), self.owner(key)
        primaries = {str(_ask(n, "CLUSTER MYID")): n for n in self.nodes if _is_primary(n)}
        ids = {node: node_id for node_id, node in primaries.items()}
        target = next(node for node in primaries.values() if node is not source)
        _ask(target, "CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
        _ask(source, "CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
        while keys := _ask(source, "CLUSTER GETKEYSINSLOT", slot, 10):
            _ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *primaries.values()):
            _ask(node, "CLUSTER SETSLOT", slot, "NODE", ids[target])
        return target

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ask(node: LocalValkey, command: str, *args: object):
    with redis.Redis(port=node.port, decode_responses=True, socket_timeout=10) as client:
        return client.execute_command(command, *args)


def _info(node: LocalValkey, section: str) -> dict[str, object]:
    with redis.Redis(port=node.port, decode_responses=True) as client:
        return client.info(section)


def _knows(node: LocalValkey, count: int) -> bool:
    return int(_cluster_info(node)["cluster_known_nodes"]) == count


def _is_up(node: LocalValkey) -> bool:
    replication = _info(node, "replication")
    linked = replication["role"] == "master" or replication["master_link_status"] == "up"
    return linked and _cluster_info(node)["cluster_state"] == "ok"


def _is_primary(node: LocalValkey) -> bool:
    try:
        return _info(node, "replication")["role"] == "master"
    except redis.exceptions.ConnectionError:
        return False


def _cluster_info(node: LocalValkey) -> dict[str, str]:
    answer = _ask(node, "CLUSTER INFO")
    if isinstance(answer, dict):
        return answer
    return dict(line.split(":", 1) for line in str(answer).split("\r\n") if ":" in line)
