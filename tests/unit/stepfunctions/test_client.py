"""The four hot calls against a real server: what is sent, what returns, and when they end."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

from bridge.errors import (
    ServiceUnavailable,
)
from bridge.stepfunctions import (
    ActivityTask,
    StepFunctions,
)
from tests.unit.stepfunctions.calls import (
    ARN,
    ONCE,
    TOKEN,
    call,
    fail,
    heartbeat,
    poll,
    succeed,
)
from tests.unit.stepfunctions.server import (
    late,
    ok,
    raw,
    task,
    when,
)


class TestCallsOnTheWire:
    def test_poll_brings_a_task(self, server):
        server.script("GetActivityTask", task(TOKEN, '{"größe": 1}'))
        found = call(poll)
        assert found == ActivityTask(TOKEN, '{"größe": 1}')
        (sent,) = server.calls
        assert sent.fields == {"activityArn": ARN, "workerName": "w1"}
        assert sent.headers["X-Amz-Target"] == "AWSStepFunctions.GetActivityTask"
        assert sent.headers["User-Agent"].startswith("celery-stepfunctions")

    @pytest.mark.parametrize(
        "empty", [ok(), ok({"taskToken": None, "input": None}), raw(b""), ok({"taskToken": ""})]
    )
    def test_poll_ends_empty(self, server, empty):
        server.script("GetActivityTask", empty)
        assert call(poll) is None

    def test_a_task_without_input_is_not_lost(self, server):
        server.script("GetActivityTask", ok({"taskToken": TOKEN}))
        assert call(poll) == ActivityTask(TOKEN, "{}")

    def test_an_input_of_a_mebibyte_arrives(self, server):
        text = json.dumps("ä" * 2**19)
        server.script("GetActivityTask", task(TOKEN, text))
        assert call(poll).input == text

    def test_heartbeats_and_reports_are_sent_on_one_connection(self, server):
        async def all_three(client):
            await heartbeat(client)
            await succeed(client, '{"a": "ü"}')
            await fail(client, "Boom", "it broke: ü")

        call(all_three)
        assert [(sent.name, sent.fields) for sent in server.calls] == [
            ("SendTaskHeartbeat", {"taskToken": TOKEN}),
            ("SendTaskSuccess", {"taskToken": TOKEN, "output": '{"a": "ü"}'}),
            ("SendTaskFailure", {"taskToken": TOKEN, "error": "Boom", "cause": "it broke: ü"}),
        ]
        assert len({sent.connection for sent in server.calls}) == 1, "kept alive"

    def test_a_failure_with_neither_error_nor_cause_has_no_such_fields(self, server):
        """Fields that are there, empty or not, need a right to the key of an encrypted activity."""
        call(lambda client: fail(client, "", ""))
        (sent,) = server.calls
        assert sent.fields == {"taskToken": TOKEN}

    def test_a_session_token_is_sent_and_signed(self, server, monkeypatch):
        monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")
        call(heartbeat)
        assert server.calls[0].headers["X-Amz-Security-Token"] == "session-token"

    def test_a_netrc_does_not_replace_the_signature(self, server, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("default login somebody password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        call(heartbeat)
        assert server.calls[0].headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")

    def test_an_endpoint_may_have_a_path(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", f"{server.url}/behind/a%20gateway")
        call(heartbeat)
        assert [sent.name for sent in server.calls] == ["SendTaskHeartbeat"]

    def test_redirects_are_not_followed(self, server):
        elsewhere = {"Location": f"{server.url}/elsewhere"}
        server.script("SendTaskHeartbeat", raw(b"", status=307, headers=elsewhere))
        with pytest.raises(ServiceUnavailable, match="307"):
            call(lambda client: heartbeat(client, ONCE))
        assert len(server.calls) == 1

    def test_cookies_are_not_kept(self, server):
        server.script("SendTaskHeartbeat", raw(b"{}", headers={"Set-Cookie": "a=b"}))

        async def twice(client):
            await heartbeat(client)
            await heartbeat(client)

        call(twice)
        assert "Cookie" not in server.calls[1].headers

    def test_a_closed_client_refuses_calls(self, server):
        async def main():
            client = StepFunctions()
            await client.close()
            await client.close()
            with pytest.raises(RuntimeError, match="closed"):
                await heartbeat(client)

        asyncio.run(main())


class TestTimes:
    def test_a_poll_that_is_not_answered_ends(self, server):
        server.script("GetActivityTask", late(30))
        with pytest.raises(ServiceUnavailable, match="too long"):
            call(lambda client: poll(client, read_timeout_s=0.2))

    def test_a_poll_waits_longer_than_a_short_call(self, server, monkeypatch):
        monkeypatch.setattr("bridge.stepfunctions.client.CALL_TIMEOUT_S", 0.1)
        server.script("GetActivityTask", late(0.5, task(TOKEN)))
        server.script("SendTaskHeartbeat", late(0.5))

        async def both(client):
            assert await poll(client)
            with pytest.raises(ServiceUnavailable):
                await heartbeat(client, ONCE)

        call(both)

    def test_a_cancelled_poll_ends_at_once(self, server):
        server.script("GetActivityTask", late(30))

        async def main(client):
            polling = asyncio.create_task(poll(client))
            while not server.open:
                await asyncio.sleep(0.01)
            polling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await polling

        call(main)

    def test_closing_ends_open_polls(self, server):
        server.script("GetActivityTask", late(30))

        async def main():
            client = StepFunctions()
            polling = asyncio.create_task(poll(client))
            while not server.open:
                await asyncio.sleep(0.01)
            await client.close()
            with pytest.raises(ServiceUnavailable):
                await polling

        asyncio.run(main())

    def test_many_open_polls_hold_up_no_heartbeat(self, server):
        released = threading.Event()
        server.defaults["GetActivityTask"] = when(released, task(TOKEN))

        async def main(client):
            polls = [asyncio.create_task(poll(client)) for _ in range(200)]
            while server.open < 200:
                await asyncio.sleep(0.01)
            started = time.monotonic()
            await asyncio.gather(*(heartbeat(client) for _ in range(50)))
            heartbeats_s = time.monotonic() - started
            assert server.open == 200
            released.set()
            assert await asyncio.gather(*polls) == [ActivityTask(TOKEN, "{}")] * 200
            return heartbeats_s

        assert call(main) < 5
        assert len(server.of("GetActivityTask")) == 200

    def test_connections_can_be_limited(self, server):
        async def main(client):
            await asyncio.gather(*(heartbeat(client) for _ in range(20)))

        call(main, max_connections=3)
        assert len({sent.connection for sent in server.calls}) <= 3
