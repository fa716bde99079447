"""The TCP proxy does what each of its controls says, with real sockets and with a real Valkey."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bridge.local.child_processes import free_port
from tests.faults.proxy import Proxy
from tests.faults.recording_server import (
    SILENCE_S,
    ask,
    assert_refused,
    assert_reset,
    assert_silent,
    connected,
    receive,
)
from tests.waiting import wait_until


@pytest.fixture
def proxy(recorder) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", recorder.port) as proxy:
        yield proxy


class TestForwarding:
    def test_bytes_go_both_ways(self, proxy, recorder):
        with connected(proxy) as client:
            assert ask(client, b"one") == b"one"
            assert ask(client, b"two") == b"two"
        assert recorder.all_seen == b"onetwo"

    def test_more_bytes_than_the_buffers_hold_arrive(self, proxy, recorder):
        """A client that sends too fast is slowed down; nothing is lost."""
        data = bytes(range(256)) * 40_000
        with connected(proxy) as client:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            assert receive(client, len(data)) == data
            sender.join()

    def test_the_end_of_a_stream_is_forwarded(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        wait_until(lambda: recorder.ends == ["eof"])
        wait_until(lambda: not proxy.links)

    def test_a_reset_is_forwarded(self, proxy, recorder):
        with connected(proxy) as client:
            ask(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: recorder.ends == ["reset"])

    def test_clients_of_a_server_that_is_down_are_reset(self):
        with Proxy("127.0.0.1", free_port()) as proxy:
            assert_refused(proxy)

    def test_hundreds_of_connections_are_forwarded_and_cut(self, proxy):
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

    def test_its_end_resets_open_connections(self, recorder):
        with Proxy("127.0.0.1", recorder.port) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
            ask(client)
        assert_reset(client)
        client.close()
        wait_until(lambda: recorder.ends == ["reset"])

    def test_a_client_that_connects_as_it_ends_leaves_no_socket_open(self, recorder):
        """pytest reports each open socket that is collected as an error."""
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

    def test_with_resume_held_bytes_are_forwarded(self, proxy, recorder):
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

    def test_delayed_bytes_stay_held(self, proxy, recorder):
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
    def test_both_directions_take_longer_until_heal(self, proxy):
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

    def test_order_is_kept_and_heal_forwards_at_once(self, proxy, recorder):
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
    def test_the_server_gets_exactly_that_many_bytes(self, proxy, recorder):
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
    def test_the_server_gets_no_whole_request(self, proxy, recorder):
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
    def test_the_server_gets_the_request_and_an_orderly_end(self, proxy, recorder):
        proxy.drop_next_reply(b"settle")
        with connected(proxy) as client:
            assert ask(client, b"start") == b"start"
            client.sendall(b"settle")
            assert_reset(client)
        wait_until(lambda: recorder.ends == ["eof"])
        assert recorder.all_seen == b"startsettle"

    def test_a_request_without_a_reply_is_reset_in_time(self, proxy, recorder):
        recorder.reply = lambda _: b""
        proxy.drop_next_reply(within_s=SILENCE_S)
        with connected(proxy) as client:
            client.sendall(b"publish")
            assert_reset(client)
        assert recorder.all_seen == b"publish"

    def test_a_server_that_closes_instead_of_replying_resets_the_client(self, proxy, recorder):
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
        """A client that retries neither connections nor commands."""
        with self.connect(valkey_proxy, timeout_s=5) as client:
            client.delete("faults")
            yield client

    def connect(self, proxy: Proxy, *, timeout_s: float) -> redis.Redis:
        url = proxy.url("redis") + "/0"
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s)

    def test_a_lost_reply_has_its_effect(self, client, valkey_proxy):
        fault = valkey_proxy.drop_next_reply(b"INCR", count=3)
        for _ in range(3):
            assert client.ping()
            with pytest.raises(redis.ConnectionError):
                client.incr("faults")
        assert client.get("faults") == b"3"
        assert client.incr("faults") == 4
        assert fault.hits == 3

    def test_a_lost_request_has_no_effect(self, client, valkey_proxy):
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

    def test_controls_work_from_many_threads_at_once(self, client, valkey_proxy):
        """Each control is called while others are, and while there is traffic."""
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
