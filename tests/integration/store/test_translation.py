"""Errors of Redis that are outages, and those that are mistakes of a script."""

from __future__ import annotations

import asyncio

import pytest
import redis

from bridge.errors import StoreUnavailable
from bridge.local.valkey import LocalValkey
from bridge.model import Outcome
from bridge.settings import Settings
from bridge.store import ClaimStore, JobStore, Settled
from bridge.store.translation import translated
from tests.waiting import wait_until

OF_62 = "Error running script (call to f_4243): @user_script:1: @user_script: 1: "


# As measured on Redis 6.2.14, Redis 7.0.15 and Valkey 9.1.2 through redis-py, which takes the
# code off where it has a class for it.
@pytest.mark.parametrize(
    "said",
    [
        OF_62 + "-OOM command not allowed when used memory > 'maxmemory'.",
        "@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.",
        OF_62 + "-READONLY You can't write against a read only replica.",
        OF_62 + "-NOREPLICAS Not enough good replicas to write.",
        OF_62 + "-MISCONF Redis is configured to save RDB snapshots, but …",
        "NOREPLICAS Not enough good replicas to write. script: 4243, on @user_script:1.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "BUSY Valkey is busy running a script. You can only call SCRIPT KILL.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        OF_62 + "The user executing the script can't run this command or subcommand",
        "The user executing the script can't access at least one of the keys mentioned in the "
        "command arguments script: 4243, on @user_script:1.",
        "ACL failure in script: User u has no permissions to run the 'hset' command",
    ],
)
def test_an_error_of_redis_that_is_an_outage(settings, said):
    """The server answers but refuses the call for now: the call is repeated."""
    with pytest.raises(StoreUnavailable), translated(settings):
        raise redis.ResponseError(said)


@pytest.mark.parametrize(
    "said",
    [
        OF_62 + "WRONGTYPE Operation against a key holding the wrong kind of value",
        "user_script:12: attempt to compare nil with number script: 4243, on @user_script:12.",
        "BUSYKEY Target key name already exists.",
    ],
)
def test_an_error_of_redis_that_is_a_mistake_of_a_script(settings, said):
    """It is raised as it is: to repeat the call would not help."""
    with pytest.raises(redis.ResponseError), translated(settings):
        raise redis.ResponseError(said)


@pytest.fixture
def server():
    with LocalValkey() as valkey, redis.Redis.from_url(valkey.url, decode_responses=True) as admin:
        yield valkey, admin


def test_a_reporter_that_waits_while_its_server_is_demoted(server):
    """The blocking pop ends with UNBLOCKED, which redis-py has no class for."""
    valkey, admin = server

    async def main() -> None:
        store = ClaimStore(Settings(store_url=valkey.url))
        try:
            waiting = asyncio.create_task(store.wait_for_outcome(60))
            await asyncio.to_thread(wait_until, lambda: admin.info("clients")["blocked_clients"])
            admin.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(StoreUnavailable, match="UNBLOCKED"):
                await waiting
            with pytest.raises(StoreUnavailable, match=r"takes no writes .*read only replica"):
                await store.find_lost(10)
        finally:
            await store.close()

    asyncio.run(main())


def test_a_right_that_is_missing_is_named(server):
    """An administrator has to know which right it is."""
    valkey, admin = server
    admin.execute_command("ACL", "SETUSER", "poor", "on", ">s3cret", "~*", "+@all", "-zadd")
    jobs = JobStore(Settings(store_url=valkey.url.replace("//", "//poor:s3cret@")))
    try:
        with pytest.raises(StoreUnavailable, match=r"poor has no permissions to run the 'zadd'"):
            jobs.renew_lease("w1", number=1, slots=1, queues=["celery"])
        admin.execute_command("ACL", "SETUSER", "poor", "resetkeys", "~celery*")
        with pytest.raises(StoreUnavailable, match=r"forbids it .*No permissions to access a key"):
            jobs.end_lease("w1")
    finally:
        jobs.close()


def test_the_error_of_an_absent_store_hides_its_password():
    """The error names the server and what stops, never the secret."""
    jobs = JobStore(Settings(store_url="redis://:s3cret@127.0.0.1:1/0"))
    with pytest.raises(StoreUnavailable, match=r"redis://:\*\*\*@127\.0\.0\.1:1/0") as caught:
        jobs.end_lease("w1")
    assert "s3cret" not in str(caught.value)
    assert caught.value.retryable


def test_a_store_whose_replicas_are_missing_is_unavailable(store, valkey):
    """The call can be repeated, and then it works."""
    claim, outcome = store.claim(), Outcome(output="1")
    store.worker()
    with redis.Redis.from_url(valkey.url) as admin:
        admin.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                store.jobs.settle(claim.job, outcome)
        finally:
            admin.config_set("min-replicas-to-write", 0)
    assert store.jobs.settle(claim.job, outcome) is Settled.STORED
