"""Which exception an answer of Step Functions means."""

from __future__ import annotations

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
from tests.unit.stepfunctions.calls import (
    ONCE,
    call,
    heartbeat,
    poll,
    succeed,
)
from tests.unit.stepfunctions.server import (
    error,
    hang_up,
    ok,
    raw,
    reset,
    truncated,
)


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
    def test_each_code_of_a_report_means_one_exception(self, server, code, status, kind, header):
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
    def test_each_code_of_a_poll_means_one_exception(self, server, code, kind):
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
    def test_without_a_code_the_status_decides(self, server, status, kind, body):
        server.script("SendTaskHeartbeat", raw(body, status=status))
        with pytest.raises(kind, match=f"HTTP {status}") as caught:
            call(lambda client: heartbeat(client, ONCE))
        assert caught.value.code == ""
        assert ("check the proxy" in str(caught.value)) == (status in (400, 403, 413))

    def test_an_unknown_code_is_an_error_that_is_not_tried_again(self, server):
        server.script("SendTaskHeartbeat", error("Novelty", message="who knows"))
        with pytest.raises(StepFunctionsError, match=r"Novelty.*who knows") as caught:
            call(heartbeat)
        assert not caught.value.retryable
        assert len(server.calls) == 1

    def test_the_message_has_the_request_id(self, server):
        server.script(
            "SendTaskHeartbeat", error("TaskTimedOut", headers={"x-amzn-RequestId": "r1"})
        )
        with pytest.raises(TokenClosed, match=r"\[request r1\]"):
            call(heartbeat)

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
    def test_a_wrong_clock_is_named(self, server, code, message):
        date = {"Date": "Thu, 01 Jan 2037 00:00:00 GMT"}
        server.script("SendTaskHeartbeat", error(code, message=message, headers=date))
        with pytest.raises(ClockSkewed, match=r"\d+ s behind AWS's. Synchronise") as caught:
            call(heartbeat)
        assert caught.value.retryable
        assert message in str(caught.value)

    @pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 2037 00:00:00 -0000"])
    def test_a_wrong_clock_is_named_without_a_useful_date(self, server, date):
        server.script("SendTaskHeartbeat", error("RequestExpired", headers={"Date": date}))
        with pytest.raises(ClockSkewed, match="Synchronise"):
            call(heartbeat)

    def test_a_wrong_secret_key_is_an_error_of_credentials(self, server, monkeypatch):
        server.expect_bad_signatures = True
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(CredentialsUnavailable, match="InvalidSignatureException"):
            call(heartbeat)

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
    def test_a_poll_whose_answer_is_garbled_or_lost_is_an_error(self, server, answer):
        server.script("GetActivityTask", answer)
        with pytest.raises(ServiceUnavailable) as caught:
            call(poll)
        assert caught.value.__context__ is None
        assert len(server.calls) == 1, "a poll is never retried"

    def test_an_endpoint_without_a_server_is_an_error(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:1")
        with pytest.raises(
            ServiceUnavailable, match=r"no answer from http://127.0.0.1:1: Connection refused"
        ):
            call(lambda client: heartbeat(client, ONCE))

    def test_a_host_name_that_does_not_exist_is_an_error(self, server, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", "http://states.invalid")
        with pytest.raises(ServiceUnavailable, match="cannot be resolved"):
            call(lambda client: heartbeat(client, ONCE))
