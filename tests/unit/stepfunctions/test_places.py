"""Regions and accounts: an activity's ARN decides where calls go, and as whom."""

from __future__ import annotations

import asyncio
import re

import pytest

from bridge.errors import CredentialsUnavailable, InvalidRequest, TokenClosed
from bridge.names import ActivityAttributes
from bridge.stepfunctions import (
    HOME,
    AwsPlace,
    Clients,
    Places,
    create_activity,
    list_activities,
)
from tests.unit.stepfunctions.server import ACCOUNT, REGION, error

OTHER = "222222222222"
ROLE = f"arn:aws:iam::{OTHER}:role/bridge"
SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/states/")


def arn(name: str = "a", region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:states:{region}:{account}:activity:{name}"


@pytest.fixture
def sts(monkeypatch, local_stepfunctions):
    """Where roles are assumed: moto's STS."""
    if local_stepfunctions.external:
        pytest.skip("this endpoint has no STS of ours")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", local_stepfunctions.url)


class TestPlace:
    def test_a_name_is_at_home(self, server):
        assert Places().of("resize") == HOME
        assert str(HOME) == ""

    def test_an_arn_of_the_own_region_is_at_home(self, server):
        assert Places().of(arn()) == HOME

    def test_an_arn_of_another_region_is_there(self, server):
        place = Places().of(arn(region="us-east-1"))
        assert place == AwsPlace("us-east-1")
        assert str(place) == "us-east-1/"

    def test_an_account_with_a_role_is_a_place_of_its_own(self, server):
        places = Places({OTHER: ROLE})
        assert places.of(arn(account=OTHER)) == AwsPlace(REGION, OTHER)
        assert places.of(arn()) == HOME

    def test_connections_are_made_once(self, server):
        places = Places()
        there = places.of(arn(region="us-east-1"))
        assert places.connection(there) is places.connection(there)
        assert places.connection(there).region == "us-east-1"
        assert places.connection().region == REGION

    def test_the_endpoint_is_the_regions(self, monkeypatch):
        monkeypatch.setenv("AWS_REGION", REGION)
        places = Places()
        url = places.connection(places.of(arn(region="us-west-2"))).endpoint_url
        assert "us-west-2" in url


class TestCalls:
    def test_each_is_signed_for_its_region(self, server):
        async def call():
            clients = Clients(Places())
            try:
                for each in ("home", arn(), arn(region="us-east-1")):
                    await clients.of(each).send_task_heartbeat("t" * 40)
                assert clients.of("home") is clients.of(arn())
                # Refused before it is sent: its client is another one.
                with pytest.raises(InvalidRequest, match="is in us-east-1"):
                    await clients.of("home").get_activity_task(
                        arn(region="us-east-1"), worker_name="w"
                    )
            finally:
                await clients.close()

        asyncio.run(call())
        scopes = [SCOPE.search(sent.headers["Authorization"]) for sent in server.calls]
        assert [scope["region"] for scope in scopes] == [REGION, REGION, "us-east-1"]

    def test_another_account_is_called_in_its_role(self, server, sts):
        server.expect_bad_signatures = True  # it knows no keys but those of home

        async def call():
            clients = Clients(Places({OTHER: ROLE}))
            try:
                for each in ("home", arn(account=OTHER, region="us-east-1")):
                    await clients.of(each).send_task_heartbeat("t" * 40)
            finally:
                await clients.close()

        with pytest.raises(CredentialsUnavailable):  # what this server says to unknown keys
            asyncio.run(call())
        home, other = server.calls[0], server.calls[1]
        assert "X-Amz-Security-Token" not in home.headers
        assert other.headers["X-Amz-Security-Token"]
        assert SCOPE.search(other.headers["Authorization"])["region"] == "us-east-1"
        assert other.access_key != home.access_key

    def test_a_region_that_throttles_is_named(self, server):
        server.script(
            "SendTaskHeartbeat", error("ThrottlingException"), error("ThrottlingException")
        )
        told = []

        async def call():
            clients = Clients(Places(), on_throttled=told.append)
            try:
                there = clients.of(arn(region="us-east-1"))
                await there.send_task_heartbeat("t" * 40)
                await clients.of("home").send_task_heartbeat("t" * 40)
                assert clients.throttled == ["us-east-1/"]
            finally:
                await clients.close()

        asyncio.run(call())
        # Each refusal counts, for each was charged to the quota; also those that are tried again.
        assert told == ["SendTaskHeartbeat"] * 2

    def test_a_role_that_cannot_be_assumed_is_an_error(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")

        async def call():
            clients = Clients(Places({OTHER: ROLE}))
            try:
                await clients.of(arn(account=OTHER)).send_task_heartbeat("t" * 40)
            finally:
                await clients.close()

        with pytest.raises(CredentialsUnavailable, match=r"127\.0\.0\.1:1"):
            asyncio.run(call())
        assert server.calls == []


class TestActivities:
    def test_an_activity_of_another_account_is_created_there(
        self, server, sts, monkeypatch, local_stepfunctions
    ):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", local_stepfunctions.url)
        places = Places({OTHER: ROLE})
        wanted = arn("made-there", "ap-south-1", OTHER)
        there = places.connection(places.of(wanted))
        assert create_activity(ActivityAttributes(name="made-there"), there) == wanted
        assert "made-there" in list_activities(there)
        assert "made-there" not in list_activities()


def test_a_closed_token_is_closed_in_every_place(server):
    server.script("SendTaskSuccess", error("TaskTimedOut"))

    async def call():
        clients = Clients(Places())
        try:
            await clients.of(arn(region="us-east-1")).send_task_success("t" * 40, "{}")
        finally:
            await clients.close()

    with pytest.raises(TokenClosed):
        asyncio.run(call())
