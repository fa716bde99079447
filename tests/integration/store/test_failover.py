"""The claim store on Sentinel and on a Redis Cluster: its clients follow the primary."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
from redis.crc import key_slot

from bridge.errors import StoreUnavailable
from bridge.local.valkey import LocalValkey
from bridge.model import Claim, claim_id_of
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, StatusReader
from tests.faults.cluster import Cluster
from tests.faults.proxy import Proxy
from tests.faults.sentinels import NAME, Sentinels
from tests.integration.store.every_client import check_every_client

WITHIN_S = 30


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory):
    with Sentinels(tmp_path_factory.mktemp("sentinels")) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def on_sentinels(sentinels: Sentinels, more: str = "") -> Settings:
    return Settings(store_url=f"{sentinels.hosts}/1?master_name={NAME}{more}")


def on_cluster(cluster: Cluster) -> Settings:
    url = ",".join([cluster.url, *(f"127.0.0.1:{node.port}" for node in cluster.nodes[1:])])
    return Settings(store_url=url, store_prefix="shop", lease_s=60)


def ask(port: int, *command: object):
    with redis.Redis(port=port, decode_responses=True, socket_timeout=10) as client:
        return client.execute_command(*command)


class Clients:
    """A blocking and an asyncio client, which connected before the fault."""

    def __init__(self, settings: Settings) -> None:
        self._runner = asyncio.Runner()
        self._jobs, self._number = JobStore(settings), 0

        async def make() -> ClaimStore:
            return ClaimStore(settings)

        self._claims = self._runner.run(make())
        self.call()

    def call(self) -> None:
        """Raises StoreUnavailable when either gets no answer."""
        self._number += 1
        self._jobs.renew_lease("w1", number=self._number, slots=1, queues=["celery"])
        self._runner.run(self._claims.find_lost(10))
        self._runner.run(self._claims.wait_for_outcome(0.01))

    def store(self, token: str) -> None:
        claim = Claim(claim_id_of(token), "resize", "{}")
        self._runner.run(
            self._claims.store(
                claim,
                token=token,
                queue="celery",
                interval_s=60,
                manual=False,
                max_attempts=1,
                poller="p1",
            )
        )

    def back(self) -> float:
        """Seconds until both get answers again; no error but StoreUnavailable is raised."""
        began = time.monotonic()
        while True:
            try:
                self.call()
            except StoreUnavailable:
                assert time.monotonic() - began < WITHIN_S
                time.sleep(0.05)
            else:
                return time.monotonic() - began

    def close(self) -> None:
        self._jobs.close()
        self._runner.run(self._claims.close())
        self._runner.close()


@pytest.fixture
def clients():
    made: list[Clients] = []

    def make(settings: Settings) -> Clients:
        made.append(Clients(settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def in_flight(settings: Settings) -> int:
    reader = StatusReader(settings)
    try:
        return sum(row.in_flight for row in reader.read([]).activities)
    finally:
        reader.close()


def test_all_clients_reach_the_primary_of_sentinels(sentinels):
    check_every_client(on_sentinels(sentinels))


def test_a_primary_that_the_sentinels_do_not_know_is_an_outage(sentinels):
    url = f"{sentinels.hosts}/0?master_name=nobody"
    with pytest.raises(StoreUnavailable, match="No master found for 'nobody'"):
        check_every_client(Settings(store_url=url))


def test_clients_follow_a_failover_of_sentinels(sentinels, clients):
    made = clients(on_sentinels(sentinels))
    made.store("token-1")
    sentinels.primary.kill()
    sentinels.failover()
    made.back()
    assert in_flight(on_sentinels(sentinels)) == 1
    sentinels.primary.start()


@pytest.mark.parametrize("old", ["replica", "away"])
def test_clients_follow_the_name_of_a_server(clients, old):
    """ElastiCache fails over so: the old primary goes on, and connections to it stay open."""
    with (
        LocalValkey() as first,
        LocalValkey() as second,
        Proxy("127.0.0.1", first.port) as name,
    ):
        made = clients(Settings(store_url=f"{name.url('redis')}/0", lease_s=60))
        name.target = ("127.0.0.1", second.port)
        if old == "replica":
            ask(first.port, "REPLICAOF", "127.0.0.1", second.port)
        else:
            name.cut()
        made.back()
        assert ask(second.port, "ZCARD", "{bridge}:workers") == 1


def test_sentinels_may_ask_for_a_password(sentinels):
    rule = ("ACL", "SETUSER", "default", "resetpass", ">s3cret")
    for port in sentinels.ports:
        ask(port, *rule)
    check_every_client(on_sentinels(sentinels, "&sentinel_password=s3cret"))
    with pytest.raises(StoreUnavailable) as caught:
        check_every_client(on_sentinels(sentinels, "&sentinel_password=wr0ng"))
    assert "wr0ng" not in str(caught.value)


def test_all_clients_reach_the_node_of_the_claims(cluster):
    for node in cluster.nodes[2:4]:  # a replica knows as well
        url = f"redis+cluster://127.0.0.1:1,127.0.0.1:{node.port}"
        check_every_client(Settings(store_url=url, store_prefix=f"by-{node.port}"))


def test_clients_follow_a_slot(cluster, clients):
    made = clients(on_cluster(cluster))
    made.store("token-2")
    before = cluster.owner("{shop}")
    assert cluster.move_slot("{shop}") is not before
    made.back()
    assert in_flight(on_cluster(cluster)) == 1


def test_no_script_runs_while_a_slot_moves(cluster, clients):
    """Half of the keys are on each of two nodes: a script would find half of a claim."""
    made = clients(on_cluster(cluster))
    slot, source = key_slot(b"{shop}"), cluster.owner("{shop}")
    target = next(n for n in cluster.nodes[:3] if n is not source)
    ids = {node: ask(node.port, "CLUSTER MYID") for node in (source, target)}
    ask(target.port, "CLUSTER SETSLOT", slot, "IMPORTING", ids[source])
    ask(source.port, "CLUSTER SETSLOT", slot, "MIGRATING", ids[target])
    keys = sorted(ask(source.port, "CLUSTER GETKEYSINSLOT", slot, 1000), reverse=True)
    assert "{shop}" in keys
    for key in keys:  # the root, and its schema, go last
        with pytest.raises(StoreUnavailable):
            made.call()
        with pytest.raises(StoreUnavailable):
            made.store("token-3")
        ask(source.port, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", key)
    with pytest.raises(StoreUnavailable):
        made.call()
    assert sorted(ask(target.port, "CLUSTER GETKEYSINSLOT", slot, 1000), reverse=True) == keys
    for node in (target, source):
        ask(node.port, "CLUSTER SETSLOT", slot, "NODE", ids[target])
    made.back()
    made.store("token-3")
    assert in_flight(on_cluster(cluster)) == 2


def test_clients_follow_a_failover_of_the_cluster(cluster, clients):
    made = clients(on_cluster(cluster))
    killed = cluster.owner("{shop}")
    count = in_flight(on_cluster(cluster))
    killed.kill()
    cluster.failover(killed, "{shop}")
    made.back()
    assert in_flight(on_cluster(cluster)) == count
