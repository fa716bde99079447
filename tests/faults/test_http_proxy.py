"""The HTTP proxy does what its rules say, and leaves every other byte as it was."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from bridge.model import claim_id_of
from tests.faults.http_proxy import (
    HttpProxy,
    answer,
    delay,
    forward,
    hang,
    lose_answer,
    reset_before,
)
from tests.faults.recording_server import (
    SILENCE_S,
    assert_reset,
    assert_silent,
    connected,
    receive,
)
from tests.fixtures_local import client_of
from tests.unit.stepfunctions.server import Server, late, task
from tests.waiting import wait_until

REQUEST = (
    b"POST / HTTP/1.1\r\nhOST:  states.example:99 \r\n"
    b"X-Amz-Target: AWSStepFunctions.SendTaskSuccess\r\nContent-Length: 17\r\n\r\n"
    b'{"taskToken":"t"}'
)
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 0\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Server]:
    """A Step Functions that checks signatures."""
    server = Server()
    server.keys["local"] = "local"
    yield server
    server.close()
    assert server.bad_signatures == []


@pytest.fixture
def http(server) -> Iterator[HttpProxy]:
    with HttpProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.fixture
def raw(recorder) -> Iterator[HttpProxy]:
    """A proxy in front of the recorder, which answers what a test tells it to."""
    with HttpProxy("127.0.0.1", recorder.port) as proxy:
        yield proxy


@pytest.fixture
def sfn(http):
    """A client of Step Functions that does not retry."""
    client = client_of(http.url())
    yield client
    client.close()


def send_success(sfn, token: str = "secret-token") -> None:
    sfn.send_task_success(taskToken=token, output="{}")


def send_heartbeat(sfn) -> None:
    sfn.send_task_heartbeat(taskToken="secret-token")


def done(http: HttpProxy) -> list[tuple[str, str, int | None]]:
    return [(call.operation, call.done, call.status) for call in http.calls]


class TestCalls:
    def test_signed_calls_are_forwarded_on_one_connection(self, http, server, sfn):
        send_success(sfn)
        send_heartbeat(sfn)
        assert done(http) == [
            ("SendTaskSuccess", "forwarded", 200),
            ("SendTaskHeartbeat", "forwarded", 200),
        ]
        assert [call.connection for call in server.calls] == [0, 0]
        assert server.calls[0].headers["Host"] == f"127.0.0.1:{http.port}"

    def test_calls_record_the_digest_of_the_token(self, http, server, sfn):
        """They do so for a token in the request and for one in the answer."""
        server.script("GetActivityTask", task("secret-token"))
        began = time.monotonic()
        sfn.get_activity_task(activityArn="arn:aws:states:eu-west-1:123456789012:activity:a")
        send_success(sfn)
        sfn.list_activities()
        digest = claim_id_of("secret-token")
        assert [call.claim_id for call in http.calls] == [digest, digest, None]
        assert "secret" not in repr(http.calls)
        times = [call.at for call in http.calls]
        assert times == sorted(times)
        assert began <= times[0] <= times[-1] <= time.monotonic()

    def test_simultaneous_large_calls_are_forwarded(self, http, server):
        """Many threads send bodies of several chunks each."""
        client = client_of(http.url())
        output = json.dumps("x" * 200_000)

        def work(number: int) -> None:
            client.send_task_success(taskToken=f"token-{number}", output=output)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        assert {call.fields["output"] for call in server.calls} == {output}
        assert {call.status for call in http.calls} == {200}
        assert len({call.claim_id for call in http.calls}) == 20


class TestActions:
    def test_answer_replaces_the_servers_answer(self, http, server, sfn):
        """The connection stays open."""
        action = answer(503, "ServiceUnavailable", "not now", retry_after_s=7)
        rule = http.rule(action, operation="SendTaskSuccess", count=2)
        for _ in range(2):
            with pytest.raises(ClientError) as raised:
                send_success(sfn)
            response = raised.value.response
            assert response["Error"] == {"Code": "ServiceUnavailable", "Message": "not now"}
            metadata = response["ResponseMetadata"]
            assert metadata["HTTPStatusCode"] == 503
            assert metadata["RequestId"]
            assert metadata["HTTPHeaders"]["retry-after"] == "7"
            assert metadata["HTTPHeaders"]["x-amzn-errortype"] == "ServiceUnavailable"
        assert http.connections == 1
        assert server.calls == []
        send_success(sfn)
        assert rule.hits == 2
        assert [call.done for call in http.calls] == ["answered", "answered", "forwarded"]

    def test_reset_before_keeps_the_call_from_the_server(self, http, server, sfn):
        rule = http.rule(reset_before, operation="SendTaskSuccess")
        send_heartbeat(sfn)
        with pytest.raises(ConnectionClosedError):
            send_success(sfn)
        rule.remove()
        send_success(sfn)
        assert len(server.of("SendTaskSuccess")) == 1
        assert done(http)[1] == ("SendTaskSuccess", "reset_before", None)

    def test_lose_answer_resets_the_client_after_the_call(self, http, server, sfn):
        rule = http.rule(lose_answer, count=1)
        with pytest.raises(ConnectionClosedError):
            send_success(sfn)
        assert len(server.calls) == 1
        assert done(http) == [("SendTaskSuccess", "lost_answer", 200)]
        send_success(sfn)
        assert rule.hits == 1

    def test_hang_holds_the_call_until_heal_resets_it(self, raw, recorder):
        """The server never gets it."""
        recorder.reply = lambda _: EMPTY
        rule = raw.rule(hang, count=1)
        with connected(raw) as client, connected(raw) as other:
            client.sendall(REQUEST)
            assert_silent(client)
            other.sendall(REQUEST)
            assert receive(other, len(EMPTY)) == EMPTY
            raw.heal()
            assert_reset(client)
        assert recorder.all_seen == REQUEST
        assert rule.hits == 1
        assert [call.done for call in raw.calls] == ["hung", "forwarded"]

    def test_delay_forwards_the_call_later(self, http, server, sfn):
        http.rule(delay(0.2), count=1)
        began = time.monotonic()
        send_success(sfn)
        assert 0.2 <= time.monotonic() - began < 5
        assert done(http) == [("SendTaskSuccess", "delayed", 200)]

    def test_a_delayed_call_arrives_although_its_client_has_closed(self, raw, recorder):
        recorder.reply = lambda _: EMPTY
        raw.rule(delay(SILENCE_S))
        with connected(raw) as client:
            client.sendall(REQUEST)
            wait_until(lambda: raw.calls)
        wait_until(lambda: recorder.ends == ["eof"])
        assert recorder.all_seen == REQUEST

    def test_tcp_faults_apply_to_whole_requests(self, http, server, sfn):
        http.drop_next_reply(b"SendTaskSuccess")
        send_heartbeat(sfn)
        with pytest.raises(ConnectionClosedError):
            send_success(sfn)
        http.freeze(resume=True)
        threading.Timer(SILENCE_S, http.heal).start()
        send_success(sfn)
        assert len(server.of("SendTaskSuccess")) == 2


class TestRules:
    def test_the_first_rule_that_applies_decides(self, http, sfn):
        http.rule(forward, operation="SendTaskHeartbeat")
        first = http.rule(answer(500, "InternalFailure", ""), count=1)
        second = http.rule(answer(400, "ThrottlingException", ""))
        send_heartbeat(sfn)
        for code in ("InternalFailure", "ThrottlingException"):
            with pytest.raises(ClientError, match=code):
                send_success(sfn)
        assert (first.hits, second.hits) == (1, 1)

    def test_probability_follows_the_seed(self, server):
        def outcomes(seed: int) -> list[str]:
            with HttpProxy("127.0.0.1", server.port, seed=seed) as http:
                sfn = client_of(http.url())
                http.rule(answer(500, "InternalFailure", ""), probability=0.5)
                for _ in range(40):
                    with suppress(ClientError):
                        send_success(sfn)
                sfn.close()
                return [call.done for call in http.calls]

        assert outcomes(1) == outcomes(1) != outcomes(2)
        assert 5 < outcomes(1).count("answered") < 35

    def test_heal_removes_all_rules(self, http, sfn):
        http.rule(reset_before)
        http.throttle(0, 0)
        http.refuse()
        http.heal()
        send_success(sfn)
        assert http.rules == []


class TestThrottle:
    def test_calls_above_the_rate_are_throttled(self, http, server, sfn):
        """A burst is let through, then what the rate refills; other operations are not affected."""
        began = time.monotonic()
        rule = http.throttle(10, 3, {"SendTaskSuccess"})
        while time.monotonic() - began < 1:
            with suppress(ClientError):
                send_success(sfn)
        elapsed = time.monotonic() - began
        send_heartbeat(sfn)
        *calls, last = http.calls
        outcomes = [(call.done, call.status) for call in calls]
        assert outcomes[:3] == [("forwarded", 200)] * 3
        assert set(outcomes) == {("forwarded", 200), ("throttled", 400)}
        let_through = len(server.of("SendTaskSuccess"))
        assert 3 < let_through <= 3 + elapsed * 10
        assert rule.hits == len(calls) - let_through
        assert last.done == "forwarded"

    def test_the_error_is_that_of_aws(self, http, sfn):
        http.throttle(0, 1)
        send_success(sfn)
        with pytest.raises(ClientError) as raised:
            send_heartbeat(sfn)
        assert raised.value.response["Error"]["Code"] == "ThrottlingException"
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


class TestFraming:
    def exchange(self, raw, recorder, *answers: bytes, request: bytes = REQUEST) -> None:
        """Send a request for each answer on one connection; assert that the bytes are unchanged."""
        queue = list(answers)
        recorder.reply = lambda _: queue.pop(0)
        with connected(raw) as client:
            for expected in answers:
                client.sendall(request)
                assert receive(client, len(expected)) == expected
        assert recorder.all_seen == request * len(answers)

    def test_bytes_are_forwarded_unchanged(self, raw, recorder):
        self.exchange(raw, recorder, EMPTY, EMPTY)
        assert [call.status for call in raw.calls] == [200, 200]
        assert raw.calls[0].claim_id == claim_id_of("t")

    def test_chunked_answers_are_forwarded(self, raw, recorder):
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'8;x=y\r\n{"taskTo\r\n8\r\nken":"t"\r\n1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n'
        )
        request = b"POST / HTTP/1.1\r\nX-Amz-Target: a.Poll\r\nContent-Length: 2\r\n\r\n{}"
        self.exchange(raw, recorder, chunked, chunked, request=request)
        assert [call.status for call in raw.calls] == [200, 200]
        assert raw.calls[1].claim_id == claim_id_of("t")

    def test_answers_without_a_body_are_forwarded(self, raw, recorder):
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
        self.exchange(raw, recorder, interim, interim)
        assert [call.status for call in raw.calls] == [204, 204]

    def test_an_answer_may_end_with_its_connection(self, raw, recorder):
        recorder.reply = lambda _: b"HTTP/1.0 201 Created\r\n\r\nall"
        with connected(raw) as client:
            client.sendall(REQUEST)
            assert receive(client, 27) == recorder.reply(b"")
            assert raw.calls[0].status is None
            recorder.sockets[0].shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert raw.calls[0].status == 201

    def test_requests_may_come_byte_by_byte_or_pipelined(self, raw, recorder):
        recorder.reply = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        with connected(raw) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in REQUEST:
                client.sendall(bytes([byte]))
            client.sendall(REQUEST * 2)
            receive(client, 3 * len(recorder.reply(b"")))
        assert recorder.all_seen == REQUEST * 3
        assert [call.status for call in raw.calls] == [200] * 3

    def test_a_slow_answer_is_waited_for(self, http, server, sfn):
        """A server that takes long causes no fault."""
        server.script("SendTaskSuccess", late(SILENCE_S))
        send_success(sfn)
        assert done(http) == [("SendTaskSuccess", "forwarded", 200)]

    def test_a_client_that_closes_early_is_forwarded(self, raw, recorder):
        """The server gets the end of the stream while it works on the call."""
        recorder.reply = lambda _: b""
        with connected(raw) as client:
            client.sendall(REQUEST)
            wait_until(lambda: recorder.all_seen == REQUEST)
            assert recorder.ends == []
        wait_until(lambda: recorder.ends == ["eof"])
