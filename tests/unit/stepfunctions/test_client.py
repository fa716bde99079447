"""The hot calls against a real server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
import traceback
from collections.abc import Awaitable, Callable

import pytest

from bridge.errors import (
    AccessDenied,
    ActivityDoesNotExist,
    ClockSkewed,
    CredentialsUnavailable,
    EncryptionKeyUnavailable,
    InvalidRequest,
    ServiceUnavailable,
    StepFunctionsError,
    Throttled,
    TokenClosed,
    TooManyPollers,
)
from bridge.stepfunctions import (
    ActivityTask,
    Connection,
    StepFunctions,
)
from bridge.support.backoff import HEARTBEAT_RETRY, REPORT_RETRY, RetryPolicy
from tests.unit.stepfunctions.server import (
    ACCOUNT,
    REGION,
    error,
    hang_up,
    late,
    ok,
    raw,
    reset,
    task,
    truncated,
    when,
)

ARN = f"arn:aws:states:{REGION}:{ACCOUNT}:activity:resize"
TOKEN = "AQCEAAAAKgAAAAMAAAAAAAAAAbL7+Secret/Token" + "x" * 400 + "=="
ONCE = RetryPolicy(attempts=1, base_s=0, cap_s=0)


class Pauses:
    """Stands in for sleep and jitter: waits for nothing, remembers everything."""

    def __init__(self, part: float = 1.0) -> None:
        self.part = part
        self.slept: list[float] = []
        self.ceilings: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.ceilings.append(high)
        return high * self.part


def call(action: Callable[[StepFunctions], Awaitable], **options):
    """Run one thing with a client made for it.

    The connection is spelt out, since botocore takes its time to find one.
    """
    connection = Connection(REGION, os.environ["AWS_ENDPOINT_URL_SFN"])

    async def main():
        async with StepFunctions(connection, **options) as client:
            return await action(client)

    return asyncio.run(main())


def poll(client: StepFunctions, **options):
    return client.get_activity_task(ARN, worker_name="w1", **options)


def beat(client: StepFunctions, retry: RetryPolicy | None = None):
    return client.send_task_heartbeat(TOKEN, retry=retry)


def succeed(client: StepFunctions, output: str = "{}", retry: RetryPolicy | None = None):
    return client.send_task_success(TOKEN, output, retry=retry)


def fail(client: StepFunctions, error: str = "E", cause: str = "c"):
    return client.send_task_failure(TOKEN, error=error, cause=cause)


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

    def test_short_calls(self, server):
        async def all_three(client):
            await beat(client)
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
        call(beat)
        assert server.calls[0].headers["X-Amz-Security-Token"] == "session-token"

    def test_a_netrc_does_not_replace_the_signature(self, server, monkeypatch, tmp_path):
        netrc = tmp_path / "netrc"
        netrc.write_text("default login somebody password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        call(beat)
        assert server.calls[0].headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")

    def test_an_endpoint_may_have_a_path(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", f"{server.url}/behind/a%20gateway")
        call(beat)
        assert [sent.name for sent in server.calls] == ["SendTaskHeartbeat"]

    def test_redirects_are_not_followed(self, server):
        elsewhere = {"Location": f"{server.url}/elsewhere"}
        server.script("SendTaskHeartbeat", raw(b"", status=307, headers=elsewhere))
        with pytest.raises(ServiceUnavailable, match="307"):
            call(lambda client: beat(client, ONCE))
        assert len(server.calls) == 1

    def test_cookies_are_not_kept(self, server):
        server.script("SendTaskHeartbeat", raw(b"{}", headers={"Set-Cookie": "a=b"}))

        async def twice(client):
            await beat(client)
            await beat(client)

        call(twice)
        assert "Cookie" not in server.calls[1].headers

    def test_a_closed_client_says_so(self, server):
        async def main():
            client = StepFunctions()
            await client.close()
            await client.close()
            with pytest.raises(RuntimeError, match="closed"):
                await beat(client)

        asyncio.run(main())


class TestLimits:
    @pytest.mark.parametrize(
        ("text", "limit", "kept"),
        [
            ("e" * 300, 256, 256),
            ("é" * 300, 256, 256),
            ("e\u0301" * 200, 256, 256),
            ("😀" * 200, 256, 128),
            ("a" + "😀" * 200, 256, 128),  # 1 + 127 pairs = 255: the next pair does not fit
        ],
    )
    def test_error_and_cause_are_cut_at_code_points(self, server, text, limit, kept):
        call(lambda client: fail(client, text, text * 128))
        sent = server.calls[0].fields
        assert len(sent["error"]) == kept
        assert text.startswith(sent["error"])
        for value, most in ((sent["error"], limit), (sent["cause"], 32_768)):
            assert len(value.encode("utf-16-le")) // 2 <= most, "as Java counts"
            value.encode("utf-8")
        assert len(sent["cause"].encode("utf-16-le")) // 2 >= 32_767

    def test_texts_at_the_limit_stay_whole(self, server):
        call(lambda client: fail(client, "😀" * 128, "c" * 32_768))
        assert server.calls[0].fields["error"] == "😀" * 128
        assert server.calls[0].fields["cause"] == "c" * 32_768

    def test_lone_surrogates_are_replaced(self, server):
        call(lambda client: fail(client, "E\ud83d", "cause \udcff of bytes"))
        sent = server.calls[0].fields
        assert (sent["error"], sent["cause"]) == ("E?", "cause ? of bytes")

    @pytest.mark.parametrize("char", ["a", "é", "😀"])
    def test_an_output_at_the_limit_is_sent(self, server, char):
        size = len(char.encode())
        output = '"' + char * ((262_144 - 2) // size) + '"'
        call(lambda client: succeed(client, output))
        assert server.calls[0].fields["output"] == output

    @pytest.mark.parametrize("char", ["a", "é", "😀"])
    def test_an_output_over_the_limit_is_not_sent(self, server, char):
        output = '"' + char * ((262_144 - 2) // len(char.encode()) + 1) + '"'
        with pytest.raises(InvalidRequest, match=r"\d+ bytes as UTF-8.* at most 262144"):
            call(lambda client: succeed(client, output))
        assert server.calls == []

    def test_an_output_that_is_no_unicode_is_not_sent(self, server):
        with pytest.raises(InvalidRequest, match="surrogates") as caught:
            call(lambda client: succeed(client, '"\ud83d"'))
        assert server.calls == []
        assert caught.value.__context__ is None, "it would hold the body, and with it the token"

    def test_an_empty_token_is_not_sent(self, server):
        async def all_three(client):
            for report in (
                client.send_task_heartbeat(""),
                client.send_task_success("", "{}"),
                client.send_task_failure("", error="E", cause=""),
            ):
                with pytest.raises(InvalidRequest, match="token is empty"):
                    await report

        call(all_three)
        assert server.calls == []

    def test_worker_name_is_cut_and_not_empty(self, server):
        async def both(client):
            await client.get_activity_task(ARN, worker_name="w" * 79 + "😀")
            with pytest.raises(InvalidRequest, match="worker name"):
                await client.get_activity_task(ARN, worker_name="")

        call(both)
        assert [sent.fields["workerName"] for sent in server.calls] == ["w" * 79]

    def test_an_arn_of_another_region_is_refused_here(self, server):
        elsewhere = ARN.replace(REGION, "us-east-1")
        with pytest.raises(InvalidRequest, match=r"us-east-1.*eu-west-1.*AWS_REGION=us-east-1"):
            call(lambda client: client.get_activity_task(elsewhere, worker_name="w"))
        assert server.calls == []


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("TaskTimedOut", 400, TokenClosed),
            ("TaskDoesNotExist", 400, TokenClosed),
            ("InvalidToken", 400, TokenClosed),
            ("ThrottlingException", 400, Throttled),
            ("Throttling", 400, Throttled),
            ("ThrottledException", 400, Throttled),
            ("TooManyRequestsException", 429, Throttled),
            ("RequestLimitExceeded", 503, Throttled),
            ("SlowDown", 503, Throttled),
            ("InternalFailure", 500, ServiceUnavailable),
            ("ServiceUnavailableException", 503, ServiceUnavailable),
            ("SomethingNew", 502, ServiceUnavailable),
            ("RequestTimeoutException", 400, ServiceUnavailable),
            ("KmsAccessDeniedException", 400, EncryptionKeyUnavailable),
            ("KmsInvalidStateException", 400, EncryptionKeyUnavailable),
            ("KmsThrottlingException", 400, EncryptionKeyUnavailable),
            ("ExpiredTokenException", 400, CredentialsUnavailable),
            ("ExpiredToken", 400, CredentialsUnavailable),
            ("UnrecognizedClientException", 400, CredentialsUnavailable),
            ("InvalidClientTokenId", 403, CredentialsUnavailable),
            ("MissingAuthenticationTokenException", 400, CredentialsUnavailable),
            ("AccessDeniedException", 400, AccessDenied),
            ("InvalidArn", 400, InvalidRequest),
            ("InvalidOutput", 400, InvalidRequest),
            ("ValidationException", 400, InvalidRequest),
            ("SerializationException", 400, InvalidRequest),
        ],
    )
    @pytest.mark.parametrize("header", [False, True])
    def test_of_a_report(self, server, code, status, kind, header):
        server.script(
            "SendTaskSuccess", error(code, status=status, message="said AWS", header=header)
        )
        with pytest.raises(kind) as caught:
            call(lambda client: succeed(client, retry=ONCE))
        assert type(caught.value) is kind
        assert caught.value.code == code
        assert str(caught.value) == f"SendTaskSuccess: {code} (HTTP {status}): said AWS"

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("ActivityDoesNotExist", ActivityDoesNotExist),
            ("ActivityWorkerLimitExceeded", TooManyPollers),
            ("InvalidArn", InvalidRequest),
            ("ThrottlingException", Throttled),
            ("KmsThrottlingException", EncryptionKeyUnavailable),
            ("InvalidToken", StepFunctionsError),  # a poll has no task token
        ],
    )
    def test_of_a_poll(self, server, code, kind):
        server.script("GetActivityTask", error(code))
        with pytest.raises(kind) as caught:
            call(poll)
        assert type(caught.value) is kind
        assert caught.value.code == code

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, ServiceUnavailable),
            (403, ServiceUnavailable),
            (413, InvalidRequest),
            (429, Throttled),
            (500, ServiceUnavailable),
            (503, ServiceUnavailable),
        ],
    )
    @pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"[1]", b"\xff\xfe", b"[" * 100_000])
    def test_without_a_code(self, server, status, kind, body):
        server.script("SendTaskHeartbeat", raw(body, status=status))
        with pytest.raises(kind, match=f"HTTP {status}") as caught:
            call(lambda client: beat(client, ONCE))
        assert caught.value.code == ""
        assert ("proxies" in str(caught.value)) == (status in (400, 403, 413))

    def test_an_unknown_code_is_said_out_loud(self, server):
        server.script("SendTaskHeartbeat", error("Novelty", message="who knows"))
        with pytest.raises(StepFunctionsError, match=r"Novelty.*who knows") as caught:
            call(beat)
        assert not caught.value.retryable
        assert len(server.calls) == 1

    def test_the_request_id_is_told(self, server):
        server.script(
            "SendTaskHeartbeat", error("TaskTimedOut", headers={"x-amzn-RequestId": "r1"})
        )
        with pytest.raises(TokenClosed, match=r"\[request r1\]"):
            call(beat)

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("RequestTimeTooSkewed", ""),
            (
                "InvalidSignatureException",
                "Signature expired: 20260101T000000Z is now earlier than",
            ),
            ("InvalidSignatureException", "Signature not yet current: 20260101T000000Z is still"),
        ],
    )
    def test_a_wrong_clock(self, server, code, message):
        date = {"Date": "Thu, 01 Jan 2037 00:00:00 GMT"}
        server.script("SendTaskHeartbeat", error(code, message=message, headers=date))
        with pytest.raises(ClockSkewed, match=r"\d+ s behind AWS's. Synchronise") as caught:
            call(beat)
        assert caught.value.retryable
        assert message in str(caught.value)

    @pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 2037 00:00:00 -0000"])
    def test_a_wrong_clock_without_a_useful_date(self, server, date):
        server.script("SendTaskHeartbeat", error("RequestExpired", headers={"Date": date}))
        with pytest.raises(ClockSkewed, match="Synchronise"):
            call(beat)

    def test_a_wrong_secret_key(self, server, monkeypatch):
        server.expect_bad_signatures = True
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(CredentialsUnavailable, match="InvalidSignatureException"):
            call(beat)

    @pytest.mark.parametrize(
        "answer",
        [
            raw(b"<html>"),
            raw(b"[]"),
            raw(b'{"taskToken": "abc'),
            truncated(b'{"taskToken":'),
            ok({"taskToken": 1, "input": ""}),
            ok({"taskToken": "t", "input": {}}),
            ok({"taskToken": "t\n{}", "input": "{}"}),
            reset,
            hang_up,
        ],
    )
    def test_a_poll_whose_answer_is_garbled_or_lost(self, server, answer):
        server.script("GetActivityTask", answer)
        with pytest.raises(ServiceUnavailable) as caught:
            call(poll)
        assert caught.value.__context__ is None
        assert len(server.calls) == 1, "a poll is never retried"

    def test_nobody_listens(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:1")
        with pytest.raises(
            ServiceUnavailable, match=r"no answer from http://127.0.0.1:1: Connection refused"
        ):
            call(lambda client: beat(client, ONCE))

    def test_no_such_host(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", "http://states.invalid")
        with pytest.raises(ServiceUnavailable, match="cannot be resolved"):
            call(lambda client: beat(client, ONCE))


class TestRetries:
    @pytest.mark.parametrize("failing", [error("ThrottlingException"), raw(b"", status=503)])
    def test_reports_are_tried_again_with_full_jitter(self, server, failing):
        server.script("SendTaskSuccess", *[failing] * 5)
        pauses = Pauses(part=0.5)
        policy = RetryPolicy(attempts=6, base_s=0.25, cap_s=1.0, within_s=60)
        call(
            lambda client: succeed(client, retry=policy),
            sleep=pauses.sleep,
            uniform=pauses.uniform,
        )
        assert len(server.calls) == 6
        assert pauses.ceilings == [0.25, 0.5, 1.0, 1.0, 1.0]
        assert pauses.slept == [ceiling / 2 for ceiling in pauses.ceilings]

    def test_each_attempt_is_signed_anew(self, server):
        server.script("SendTaskSuccess", *[error("ThrottlingException")] * 2)

        async def sleep(_):
            await asyncio.sleep(1.0)

        call(succeed, sleep=sleep)
        assert len({sent.headers["Authorization"] for sent in server.calls}) == 3

    @pytest.mark.parametrize(
        ("action", "policy"),
        [(beat, HEARTBEAT_RETRY), (succeed, REPORT_RETRY), (fail, REPORT_RETRY)],
    )
    def test_the_last_error_comes_out(self, server, action, policy):
        for name in ("SendTaskHeartbeat", "SendTaskSuccess", "SendTaskFailure"):
            server.defaults[name] = error("ThrottlingException")
        pauses = Pauses()
        with pytest.raises(Throttled):
            call(action, sleep=pauses.sleep, uniform=pauses.uniform)
        assert len(server.calls) == policy.attempts
        assert max(pauses.slept) <= policy.cap_s

    def test_heartbeats_are_tried_less(self):
        assert HEARTBEAT_RETRY.attempts < REPORT_RETRY.attempts
        assert HEARTBEAT_RETRY.within_s < REPORT_RETRY.within_s < 30, "half of the reporter's hold"

    def test_a_client_may_have_policies_of_its_own(self, server):
        server.defaults["SendTaskHeartbeat"] = server.defaults["SendTaskSuccess"] = raw(
            b"", status=500
        )
        pauses = Pauses()

        async def both(client):
            for report in (beat(client), succeed(client)):
                with pytest.raises(ServiceUnavailable):
                    await report

        call(
            both,
            heartbeat_retry=RetryPolicy(attempts=2, base_s=0.1, cap_s=0.1),
            report_retry=RetryPolicy(attempts=4, base_s=0.1, cap_s=0.1),
            sleep=pauses.sleep,
            uniform=pauses.uniform,
        )
        assert (len(server.of("SendTaskHeartbeat")), len(server.of("SendTaskSuccess"))) == (2, 4)

    @pytest.mark.parametrize(
        "code",
        [
            "TaskTimedOut",
            "AccessDeniedException",
            "InvalidOutput",
            "ExpiredTokenException",
            "KmsThrottlingException",
            "RequestTimeTooSkewed",
        ],
    )
    def test_other_errors_are_left_to_the_caller(self, server, code):
        server.defaults["SendTaskSuccess"] = error(code)
        with pytest.raises(StepFunctionsError):
            call(succeed)
        assert len(server.calls) == 1

    @pytest.mark.parametrize(
        "failing", [error("ThrottlingException"), raw(b"", status=500), hang_up, reset]
    )
    def test_polls_are_never_tried_again(self, server, failing):
        server.script("GetActivityTask", ok(), failing)

        async def twice(client):
            await poll(client)  # so that the second one finds a connection that was idle
            with pytest.raises((Throttled, ServiceUnavailable)):
                await poll(client)

        call(twice)
        assert len(server.calls) == 2

    @pytest.mark.parametrize("lost", [hang_up, reset])
    @pytest.mark.parametrize("action", [beat, succeed, fail])
    def test_a_connection_closed_while_idle_is_replaced_at_once(self, server, lost, action):
        name = {beat: "SendTaskHeartbeat", succeed: "SendTaskSuccess", fail: "SendTaskFailure"}[
            action
        ]
        server.script(name, ok(), lost)
        pauses = Pauses()

        async def twice(client):
            await action(client)
            await action(client)

        call(twice, sleep=pauses.sleep, uniform=pauses.uniform)
        assert len(server.calls) == 3
        assert pauses.slept == []

    def test_connections_that_break_again_and_again_are_backed_off(self, server):
        server.script("SendTaskSuccess", *[hang_up] * 4)
        pauses = Pauses()
        call(succeed, sleep=pauses.sleep, uniform=pauses.uniform)
        assert len(server.calls) == 5
        assert len(pauses.slept) == 3

    def test_a_server_that_restarts_closes_idle_connections(self, server):
        """Those of which we know are not used; polls need no retry for it."""

        async def main(client):
            await asyncio.gather(*(beat(client) for _ in range(20)))
            for transport in list(server._connections):
                server.loop.call_soon_threadsafe(transport.close)
            await asyncio.sleep(0.1)
            await asyncio.gather(*(poll(client) for _ in range(20)))

        call(main)

    def test_a_truncated_answer_to_a_report_is_tried_again(self, server):
        server.script("SendTaskSuccess", truncated(b"{"), raw(b"not json"))
        pauses = Pauses()
        call(succeed, sleep=pauses.sleep, uniform=pauses.uniform)
        assert len(server.calls) == 3

    def test_a_lost_first_answer_shows_as_closed(self, server):
        server.script("SendTaskSuccess", hang_up, error("TaskTimedOut"))
        with pytest.raises(TokenClosed) as caught:
            call(succeed)
        assert caught.value.code == "TaskTimedOut"

    def test_the_whole_call_ends_in_time(self, server):
        server.defaults["SendTaskHeartbeat"] = late(30)
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="too long"):
            call(
                lambda client: beat(
                    client, RetryPolicy(attempts=50, base_s=0.01, cap_s=0.02, within_s=0.5)
                )
            )
        assert 0.4 < time.monotonic() - started < 3
        assert len(server.calls) == 1

    def test_no_pause_outlasts_the_call(self, server):
        server.defaults["SendTaskHeartbeat"] = error("ThrottlingException")
        pauses = Pauses()
        with pytest.raises(Throttled):
            call(
                lambda client: beat(
                    client, RetryPolicy(attempts=50, base_s=10.0, cap_s=10.0, within_s=5)
                ),
                sleep=pauses.sleep,
                uniform=pauses.uniform,
            )
        assert len(server.calls) == 1
        assert pauses.slept == []


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
                await beat(client, ONCE)

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
            await asyncio.gather(*(beat(client) for _ in range(50)))
            beats_s = time.monotonic() - started
            assert server.open == 200
            released.set()
            assert await asyncio.gather(*polls) == [ActivityTask(TOKEN, "{}")] * 200
            return beats_s

        assert call(main) < 5
        assert len(server.of("GetActivityTask")) == 200

    def test_connections_can_be_limited(self, server):
        async def main(client):
            await asyncio.gather(*(beat(client) for _ in range(20)))

        call(main, max_connections=3)
        assert len({sent.connection for sent in server.calls}) <= 3


class TestTheTokenIsASecret:
    """Invariant 7: it is in no message, repr or log line, and in nothing that is chained."""

    QUOTING = (
        error("TaskTimedOut", message=f"Task {TOKEN} is closed"),
        error("InvalidToken", message=f"Invalid Token: '{TOKEN}'", header=True),
        error("ValidationException", message=f"Value '{TOKEN[:40]}...' at 'taskToken' is not"),
        error("ValidationException", message=f"Value ...{TOKEN[20:400]} at 'taskToken' is not"),
        error("ThrottlingException", message=TOKEN),
        error("AccessDeniedException", message=TOKEN * 3),
        error("Novelty", message=TOKEN),
        error(TOKEN, message=TOKEN),
        raw(TOKEN.encode(), status=500),
        raw(TOKEN.encode()),
        raw(json.dumps([TOKEN]).encode()),
        raw(b"", status=302, headers={"Location": f"http://127.0.0.1:1/{TOKEN}"}),
        truncated(json.dumps({"echo": TOKEN}).encode()),
        late(30),
        hang_up,
        reset,
    )

    @pytest.mark.parametrize("answer", QUOTING)
    def test_reports(self, server, answer, caplog, monkeypatch):
        monkeypatch.setattr("bridge.stepfunctions.client.CALL_TIMEOUT_S", 0.5)
        caplog.set_level(logging.DEBUG)
        caplog.set_level(logging.DEBUG, "aiohttp")
        caplog.set_level(logging.DEBUG, "botocore")
        names = ("SendTaskHeartbeat", "SendTaskSuccess", "SendTaskFailure")
        for name in names:
            server.defaults[name] = answer
        errors = []

        async def main():
            async with StepFunctions(heartbeat_retry=ONCE, report_retry=ONCE) as client:
                for action in (beat, succeed, fail):
                    try:
                        await action(client)
                    except StepFunctionsError as exc:
                        errors.append(exc)

        asyncio.run(main(), debug=True)
        assert len(errors) == 3
        said = caplog.text + "".join(map(_everything_said, errors))
        assert any(record.name.startswith("botocore") for record in caplog.records)
        assert not _leaks(said)

    @pytest.mark.parametrize(
        "answer",
        [
            truncated(json.dumps({"taskToken": TOKEN, "input": "{}"}).encode()),
            raw(json.dumps({"taskToken": TOKEN}).encode()[:-1]),
            ok({"taskToken": [TOKEN], "input": "{}"}),
            ok({"taskToken": TOKEN, "input": 1}),
        ],
    )
    def test_polls_that_break(self, server, answer, caplog):
        caplog.set_level(logging.DEBUG)
        server.script("GetActivityTask", answer)
        with pytest.raises(ServiceUnavailable) as caught:
            call(poll)
        assert not _leaks(caplog.text + _everything_said(caught.value))

    def test_a_task_in_a_log_line(self, server, caplog):
        server.script("GetActivityTask", task(TOKEN, '{"secret": "input"}'))
        found = call(poll)
        assert repr(found) == "ActivityTask()"
        assert not _leaks(f"{found} {found!r} {caplog.text}")

    def test_a_token_that_is_no_unicode(self, server):
        with pytest.raises(InvalidRequest) as caught:
            call(lambda client: client.send_task_heartbeat(TOKEN + "\ud83d"))
        assert not _leaks(_everything_said(caught.value))

    def test_neither_are_the_signed_headers_chained(self, server, monkeypatch):
        monkeypatch.setenv("AWS_SESSION_TOKEN", "session-secret")
        server.script("SendTaskHeartbeat", hang_up)
        with pytest.raises(ServiceUnavailable) as caught:
            call(lambda client: beat(client, ONCE))
        assert "session-secret" not in _everything_said(caught.value)
        assert caught.value.__context__ is None


def _everything_said(exc: BaseException) -> str:
    """All texts of an exception, and of those chained to it."""
    text = "".join(traceback.format_exception(exc))
    seen: BaseException | None = exc
    while seen is not None:
        text += f"{seen} {seen!r} {seen.args!r} {vars(seen)!r}"
        seen = seen.__context__ or seen.__cause__
    return text


def _leaks(text: str) -> bool:
    return any(TOKEN[start : start + 24] in text for start in (0, 10, 40, 200, len(TOKEN) - 24))
