"""Each fault does what it says, on real sockets: our own server's, Valkey's, an HTTP server's."""

from __future__ import annotations

import gc
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import redis
from botocore.exceptions import ClientError, ConnectionClosedError
from redis.backoff import NoBackoff
from redis.retry import Retry

from bridge.local.child_processes import free_port
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
from tests.faults.proxy import Proxy
from tests.fixtures_local import client_of
from tests.unit.stepfunctions.server import Server, late, task
from tests.waiting import wait_until

SILENCE_S = 0.2


REQUEST = (
    b"POST / HTTP/1.1\r\nhOST:  states.example:99 \r\n"
    b"X-Amz-Target: AWSStepFunctions.SendTaskSuccess\r\nContent-Length: 17\r\n\r\n"
    b'{"taskToken":"t"}'
)
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 0\r\n\r\n"


class Recorder(socketserver.ThreadingTCPServer):
    """A server that notes what each connection brought and how it ended."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.seen: list[bytearray] = []
        self.ends: list[str] = []
        self.sockets: list[socket.socket] = []
        self.reply: Callable[[bytes], bytes] = bytes
        """To each chunk; an echo at first."""

    @property
    def all_seen(self) -> bytes:
        return b"".join(self.seen)


class _Handler(socketserver.BaseRequestHandler):
    server: Recorder

    def handle(self) -> None:
        seen = bytearray()
        self.server.seen.append(seen)
        self.server.sockets.append(self.request)
        try:
            while data := self.request.recv(65536):
                seen += data
                self.request.sendall(self.server.reply(data))
            self.server.ends.append("eof")
        except ConnectionError:
            self.server.ends.append("reset")


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(recorder) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", recorder.port) as proxy:
        yield proxy


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        yield client


def ask(client: socket.socket, data: bytes = b"ping") -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(65536)):
        data += more
    return data


def assert_reset(client: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def assert_refused(proxy: Proxy) -> None:
    """The reset may be there before connect() returns."""
    with pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def assert_silent(client: socket.socket) -> None:
    """Neither bytes nor an end of any kind."""
    client.settimeout(SILENCE_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)


class TestForwarding:
    def test_bytes_go_both_ways(self, proxy, recorder):
        with connected(proxy) as client:
            assert ask(client, b"one") == b"one"
            assert ask(client, b"two") == b"two"
        assert recorder.all_seen == b"onetwo"

    def test_more_than_the_buffers_hold(self, proxy, recorder):
        """Who sends too fast is slowed down; nothing is lost."""
        data = bytes(range(256)) * 40_000
        with connected(proxy) as client:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            assert receive(client, len(data)) == data
            sender.join()

    def test_an_end_goes_through(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        wait_until(lambda: recorder.ends == ["eof"])
        wait_until(lambda: not proxy.links)

    def test_a_reset_goes_through(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: recorder.ends == ["reset"])

    def test_a_server_that_is_down(self):
        with Proxy("127.0.0.1", free_port()) as proxy:
            assert_refused(proxy)

    def test_hundreds_of_connections(self, proxy):
        clients = [
            socket.create_connection(("127.0.0.1", proxy.port), timeout=10) for _ in range(300)
        ]
        assert all(ask(client) == b"ping" for client in clients)
        assert proxy.connections == 300
        proxy.cut()
        for client in clients:
            assert_reset(client)
            client.close()
        assert proxy.connections == 0

    def test_its_end_resets_what_is_open(self, recorder):
        with Proxy("127.0.0.1", recorder.port) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
            ask(client)
        assert_reset(client)
        client.close()
        wait_until(lambda: recorder.ends == ["reset"])

    def test_a_client_that_comes_as_it_ends_leaves_no_socket_open(self, recorder):
        """pytest takes what the collector finds for an error."""
        for _ in range(50):
            with Proxy("127.0.0.1", recorder.port) as proxy:
                client = socket.create_connection(("127.0.0.1", proxy.port))
            client.close()
        gc.collect()

    def test_a_bug_of_its_own_is_not_taken_for_a_fault(self, recorder):
        def broken() -> None:
            with Proxy("127.0.0.1", recorder.port) as proxy:
                proxy.run(proxy.loop.call_soon, lambda: 1 / 0)

        with pytest.raises(ZeroDivisionError):
            broken()


class TestCut:
    def test_it_resets_both_sides_once(self, proxy, recorder):
        with connected(proxy) as client, connected(proxy) as later:
            ask(client)
            ask(later)
            proxy.cut()
            assert_reset(client)
            assert_reset(later)
        wait_until(lambda: recorder.ends == ["reset", "reset"])
        with connected(proxy) as client:
            assert ask(client) == b"ping"


class TestRefuse:
    def test_open_and_new_connections_are_reset_until_heal(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            proxy.refuse()
            assert_reset(client)
        assert_refused(proxy)
        assert len(recorder.seen) == 1
        proxy.heal()
        with connected(proxy) as client:
            assert ask(client) == b"ping"


class TestFreeze:
    def test_nothing_passes_and_nothing_ends(self, proxy, recorder):
        with connected(proxy) as client, connected(proxy) as ended:
            ask(client, b"one")
            ask(ended, b"two")
            proxy.freeze()
            client.sendall(b"three")
            recorder.sockets[1].shutdown(socket.SHUT_RDWR)
            with connected(proxy) as new:
                new.sendall(b"four")
                for each in (client, ended, new):
                    assert_silent(each)
                assert recorder.all_seen == b"onetwo"
                proxy.heal()
                for each in (client, ended, new):
                    assert_reset(each)
        with connected(proxy) as client:
            assert ask(client) == b"ping"
        assert recorder.all_seen == b"onetwoping"

    def test_with_resume_all_goes_on(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client, b"one")
            proxy.freeze(resume=True)
            client.sendall(b"two")
            with connected(proxy) as new:
                new.sendall(b"three")
                assert_silent(new)
                assert_silent(client)
                proxy.heal()
                assert receive(client, 3) == b"two"
                assert receive(new, 5) == b"three"

    def test_what_was_delayed_stays_held(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client, b"one")
            proxy.delay(0.05)
            client.sendall(b"two")
            proxy.freeze(resume=True)
            assert_silent(client)
            assert recorder.all_seen == b"one"
            proxy.heal()
            assert receive(client, 3) == b"two"


class TestDelay:
    def test_each_way_takes_longer_until_heal(self, proxy):
        with connected(proxy) as client:
            ask(client)
            proxy.delay(0.3)
            began = time.monotonic()
            assert ask(client) == b"ping"
            assert 0.6 <= time.monotonic() - began < 5
            proxy.heal()
            began = time.monotonic()
            ask(client)
            assert time.monotonic() - began < 0.6

    def test_order_is_kept_and_heal_lets_it_through(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            proxy.delay(60)
            client.sendall(b"one")
            time.sleep(SILENCE_S)
            proxy.delay(0.01)
            client.sendall(b"two")
            assert_silent(client)
            proxy.heal()
            assert receive(client, 6) == b"onetwo"


class TestCutAfter:
    def test_the_server_gets_just_so_many_bytes(self, proxy, recorder):
        with connected(proxy) as client, connected(proxy) as other:
            ask(client, b"before")
            fault = proxy.cut_after(7)
            assert ask(client, b"1234") == b"1234"
            client.sendall(b"5678")
            assert_reset(client)
            assert ask(other, b"a long one") == b"a long one"
        wait_until(lambda: len(recorder.ends) == 2)
        assert bytes(recorder.seen[0]) == b"before1234567"
        assert recorder.ends == ["eof", "eof"]
        assert fault.hits == 1


class TestDropNextRequest:
    def test_the_server_sees_no_whole_request(self, proxy, recorder):
        fault = proxy.drop_next_request(b"settle", count=2)
        for _ in range(2):
            with connected(proxy) as client:
                assert ask(client, b"start") == b"start"
                assert ask(client, b"set") == b"set"  # the match spans two chunks
                client.sendall(b"tle")
                assert_reset(client)
        with connected(proxy) as client:
            assert ask(client, b"settle") == b"settle"
        assert recorder.all_seen == b"startset" * 2 + b"settle"
        assert fault.hits == 2

    def test_heal_and_remove_withdraw_it(self, proxy):
        with connected(proxy) as client:
            proxy.drop_next_request().remove()
            assert ask(client) == b"ping"
            fault = proxy.drop_next_request()
            proxy.heal()
            assert ask(client) == b"ping"
            fault.remove()
            assert fault.hits == 0


class TestDropNextReply:
    def test_the_server_sees_it_and_ends_in_order(self, proxy, recorder):
        proxy.drop_next_reply(b"settle")
        with connected(proxy) as client:
            assert ask(client, b"start") == b"start"
            client.sendall(b"settle")
            assert_reset(client)
        wait_until(lambda: recorder.ends == ["eof"])
        assert recorder.all_seen == b"startsettle"

    def test_a_request_without_a_reply(self, proxy, recorder):
        recorder.reply = lambda _: b""
        proxy.drop_next_reply(within_s=SILENCE_S)
        with connected(proxy) as client:
            client.sendall(b"publish")
            assert_reset(client)
        assert recorder.all_seen == b"publish"

    def test_a_server_that_hangs_up_instead(self, proxy, recorder):
        def hang_up(_: bytes) -> bytes:
            recorder.sockets[0].shutdown(socket.SHUT_WR)
            return b""

        recorder.reply = hang_up
        proxy.drop_next_reply()
        with connected(proxy) as client:
            client.sendall(b"ping")
            assert_reset(client)

    def test_a_delayed_request_still_arrives(self, proxy, recorder):
        proxy.delay(0.1)
        proxy.drop_next_reply()
        with connected(proxy) as client:
            client.sendall(b"ping")
            assert_reset(client)
        assert recorder.all_seen == b"ping"


class TestOnValkey:
    @pytest.fixture
    def valkey_proxy(self, valkey):
        with Proxy("127.0.0.1", valkey.port) as proxy:
            yield proxy

    @pytest.fixture
    def client(self, valkey_proxy):
        """A client that neither connects nor asks again by itself."""
        with self.connect(valkey_proxy, timeout_s=5) as client:
            client.delete("faults")
            yield client

    def connect(self, proxy: Proxy, *, timeout_s: float) -> redis.Redis:
        url = proxy.url("redis") + "/0"
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s)

    def test_a_lost_reply_leaves_its_effect(self, client, valkey_proxy):
        fault = valkey_proxy.drop_next_reply(b"INCR", count=3)
        for _ in range(3):
            assert client.ping()
            with pytest.raises(redis.ConnectionError):
                client.incr("faults")
        assert client.get("faults") == b"3"
        assert client.incr("faults") == 4
        assert fault.hits == 3

    def test_a_lost_request_has_none(self, client, valkey_proxy):
        valkey_proxy.drop_next_request(b"INCR")
        with pytest.raises(redis.ConnectionError):
            client.incr("faults")
        assert client.get("faults") is None

    def test_a_script_is_matched_by_its_digest(self, client, valkey_proxy):
        script = client.register_script("return redis.call('INCR', KEYS[1])")
        assert script(keys=["faults"]) == 1
        valkey_proxy.drop_next_reply(script.sha.encode())
        with pytest.raises(redis.ConnectionError):
            script(keys=["faults"])
        assert script(keys=["faults"]) == 3

    def test_a_freeze_is_a_timeout(self, valkey_proxy):
        with self.connect(valkey_proxy, timeout_s=SILENCE_S) as client:
            assert client.ping()
            valkey_proxy.freeze()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            valkey_proxy.heal()
            assert client.ping()

    def test_controls_from_many_threads(self, client, valkey_proxy):
        """Each control while others and the traffic go on."""
        stop = threading.Event()

        def work(control: Callable[[], object]) -> None:
            while not stop.is_set():
                control()

        controls = [
            valkey_proxy.cut,
            valkey_proxy.refuse,
            valkey_proxy.freeze,
            valkey_proxy.heal,
            valkey_proxy.drop_next_reply,
            valkey_proxy.drop_next_request,
            lambda: valkey_proxy.cut_after(20),
            lambda: valkey_proxy.delay(0.001),
        ]
        threads = [threading.Thread(target=work, args=(control,)) for control in controls]
        for thread in threads:
            thread.start()

        def answers() -> bool:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                return client.ping()
            return False

        for _ in range(200):
            answers()
        stop.set()
        for thread in threads:
            thread.join()
        valkey_proxy.heal()
        wait_until(answers)
        wait_until(lambda: valkey_proxy.connections == 1)


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
    """In front of a server that says what a test makes it say."""
    with HttpProxy("127.0.0.1", recorder.port) as proxy:
        yield proxy


@pytest.fixture
def sfn(http):
    """A client of Step Functions that asks once."""
    client = client_of(http.url())
    yield client
    client.close()


def succeed(sfn, token: str = "secret-token") -> None:
    sfn.send_task_success(taskToken=token, output="{}")


def beat(sfn) -> None:
    sfn.send_task_heartbeat(taskToken="secret-token")


def done(http: HttpProxy) -> list[tuple[str, str, int | None]]:
    return [(call.operation, call.done, call.status) for call in http.calls]


class TestCalls:
    def test_signed_calls_go_through_on_one_connection(self, http, server, sfn):
        succeed(sfn)
        beat(sfn)
        assert done(http) == [
            ("SendTaskSuccess", "forwarded", 200),
            ("SendTaskHeartbeat", "forwarded", 200),
        ]
        assert [call.connection for call in server.calls] == [0, 0]
        assert server.calls[0].headers["Host"] == f"127.0.0.1:{http.port}"

    def test_the_log_knows_tokens_by_their_digest(self, http, server, sfn):
        """Whether a call sends the token or brings it."""
        server.script("GetActivityTask", task("secret-token"))
        began = time.monotonic()
        sfn.get_activity_task(activityArn="arn:aws:states:eu-west-1:123456789012:activity:a")
        succeed(sfn)
        sfn.list_activities()
        digest = claim_id_of("secret-token")
        assert [call.claim_id for call in http.calls] == [digest, digest, None]
        assert "secret" not in repr(http.calls)
        times = [call.at for call in http.calls]
        assert times == sorted(times)
        assert began <= times[0] <= times[-1] <= time.monotonic()

    def test_large_calls_at_once(self, http, server):
        """Many threads, each with a body that comes in several chunks."""
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
    def test_answer(self, http, server, sfn):
        """The proxy answers in the server's place, and the connection lives on."""
        action = answer(503, "ServiceUnavailable", "not now", retry_after=7)
        rule = http.rule(action, operation="SendTaskSuccess", count=2)
        for _ in range(2):
            with pytest.raises(ClientError) as raised:
                succeed(sfn)
            response = raised.value.response
            assert response["Error"] == {"Code": "ServiceUnavailable", "Message": "not now"}
            metadata = response["ResponseMetadata"]
            assert metadata["HTTPStatusCode"] == 503
            assert metadata["RequestId"]
            assert metadata["HTTPHeaders"]["retry-after"] == "7"
            assert metadata["HTTPHeaders"]["x-amzn-errortype"] == "ServiceUnavailable"
        assert http.connections == 1
        assert server.calls == []
        succeed(sfn)
        assert rule.hits == 2
        assert [call.done for call in http.calls] == ["answered", "answered", "forwarded"]

    def test_reset_before(self, http, server, sfn):
        rule = http.rule(reset_before, operation="SendTaskSuccess")
        beat(sfn)
        with pytest.raises(ConnectionClosedError):
            succeed(sfn)
        rule.remove()
        succeed(sfn)
        assert len(server.of("SendTaskSuccess")) == 1
        assert done(http)[1] == ("SendTaskSuccess", "reset_before", None)

    def test_lose_answer(self, http, server, sfn):
        rule = http.rule(lose_answer, count=1)
        with pytest.raises(ConnectionClosedError):
            succeed(sfn)
        assert len(server.calls) == 1
        assert done(http) == [("SendTaskSuccess", "lost_answer", 200)]
        succeed(sfn)
        assert rule.hits == 1

    def test_hang(self, raw, recorder):
        """Until ``heal``, which resets it; the server never sees it."""
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

    def test_delay(self, http, server, sfn):
        http.rule(delay(0.2), count=1)
        began = time.monotonic()
        succeed(sfn)
        assert 0.2 <= time.monotonic() - began < 5
        assert done(http) == [("SendTaskSuccess", "delayed", 200)]

    def test_a_delayed_call_arrives_after_its_client_gave_up(self, raw, recorder):
        recorder.reply = lambda _: EMPTY
        raw.rule(delay(SILENCE_S))
        with connected(raw) as client:
            client.sendall(REQUEST)
            wait_until(lambda: raw.calls)
        wait_until(lambda: recorder.ends == ["eof"])
        assert recorder.all_seen == REQUEST

    def test_tcp_faults_meet_whole_requests(self, http, server, sfn):
        http.drop_next_reply(b"SendTaskSuccess")
        beat(sfn)
        with pytest.raises(ConnectionClosedError):
            succeed(sfn)
        http.freeze(resume=True)
        threading.Timer(SILENCE_S, http.heal).start()
        succeed(sfn)
        assert len(server.of("SendTaskSuccess")) == 2


class TestRules:
    def test_the_first_that_applies_decides(self, http, sfn):
        http.rule(forward, operation="SendTaskHeartbeat")
        first = http.rule(answer(500, "InternalFailure", ""), count=1)
        second = http.rule(answer(400, "ThrottlingException", ""))
        beat(sfn)
        for code in ("InternalFailure", "ThrottlingException"):
            with pytest.raises(ClientError, match=code):
                succeed(sfn)
        assert (first.hits, second.hits) == (1, 1)

    def test_probability_follows_the_seed(self, server):
        def outcomes(seed: int) -> list[str]:
            with HttpProxy("127.0.0.1", server.port, seed=seed) as http:
                sfn = client_of(http.url())
                http.rule(answer(500, "InternalFailure", ""), probability=0.5)
                for _ in range(40):
                    with suppress(ClientError):
                        succeed(sfn)
                sfn.close()
                return [call.done for call in http.calls]

        assert outcomes(1) == outcomes(1) != outcomes(2)
        assert 5 < outcomes(1).count("answered") < 35

    def test_heal_removes_all(self, http, sfn):
        http.rule(reset_before)
        http.throttle(0, 0)
        http.refuse()
        http.heal()
        succeed(sfn)
        assert http.rules == []


class TestThrottle:
    def test_calls_above_the_rate_are_turned_away(self, http, server, sfn):
        """A burst, then what the rate refills; other operations are not concerned."""
        began = time.monotonic()
        rule = http.throttle(10, 3, {"SendTaskSuccess"})
        while time.monotonic() - began < 1:
            with suppress(ClientError):
                succeed(sfn)
        elapsed = time.monotonic() - began
        beat(sfn)
        *calls, last = http.calls
        outcomes = [(call.done, call.status) for call in calls]
        assert outcomes[:3] == [("forwarded", 200)] * 3
        assert set(outcomes) == {("forwarded", 200), ("throttled", 400)}
        let_through = len(server.of("SendTaskSuccess"))
        assert 3 < let_through <= 3 + elapsed * 10
        assert rule.hits == len(calls) - let_through
        assert last.done == "forwarded"

    def test_its_error_is_that_of_aws(self, http, sfn):
        http.throttle(0, 1)
        succeed(sfn)
        with pytest.raises(ClientError) as raised:
            beat(sfn)
        assert raised.value.response["Error"]["Code"] == "ThrottlingException"
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


class TestFraming:
    def exchange(self, raw, recorder, *answers: bytes, request: bytes = REQUEST) -> None:
        """On one connection, get each answer as the server worded it."""
        queue = list(answers)
        recorder.reply = lambda _: queue.pop(0)
        with connected(raw) as client:
            for expected in answers:
                client.sendall(request)
                assert receive(client, len(expected)) == expected
        assert recorder.all_seen == request * len(answers)

    def test_bytes_are_left_as_they_are(self, raw, recorder):
        self.exchange(raw, recorder, EMPTY, EMPTY)
        assert [call.status for call in raw.calls] == [200, 200]
        assert raw.calls[0].claim_id == claim_id_of("t")

    def test_chunked_answers(self, raw, recorder):
        chunked = (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'8;x=y\r\n{"taskTo\r\n8\r\nken":"t"\r\n1\r\n}\r\n0\r\nTrailer: 1\r\n\r\n'
        )
        request = b"POST / HTTP/1.1\r\nX-Amz-Target: a.Poll\r\nContent-Length: 2\r\n\r\n{}"
        self.exchange(raw, recorder, chunked, chunked, request=request)
        assert [call.status for call in raw.calls] == [200, 200]
        assert raw.calls[1].claim_id == claim_id_of("t")

    def test_answers_without_a_body(self, raw, recorder):
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
        self.exchange(raw, recorder, interim, interim)
        assert [call.status for call in raw.calls] == [204, 204]

    def test_an_answer_that_ends_with_its_connection(self, raw, recorder):
        recorder.reply = lambda _: b"HTTP/1.0 201 Created\r\n\r\nall"
        with connected(raw) as client:
            client.sendall(REQUEST)
            assert receive(client, 27) == recorder.reply(b"")
            assert raw.calls[0].status is None
            recorder.sockets[0].shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert raw.calls[0].status == 201

    def test_requests_byte_by_byte_and_pipelined(self, raw, recorder):
        recorder.reply = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        with connected(raw) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in REQUEST:
                client.sendall(bytes([byte]))
            client.sendall(REQUEST * 2)
            receive(client, 3 * len(recorder.reply(b"")))
        assert recorder.all_seen == REQUEST * 3
        assert [call.status for call in raw.calls] == [200] * 3

    def test_a_slow_answer_waits(self, http, server, sfn):
        """What takes long is no fault."""
        server.script("SendTaskSuccess", late(SILENCE_S))
        succeed(sfn)
        assert done(http) == [("SendTaskSuccess", "forwarded", 200)]

    def test_a_client_that_gives_up(self, raw, recorder):
        """The server hears of it while it works on the call."""
        recorder.reply = lambda _: b""
        with connected(raw) as client:
            client.sendall(REQUEST)
            wait_until(lambda: recorder.all_seen == REQUEST)
            assert recorder.ends == []
        wait_until(lambda: recorder.ends == ["eof"])
