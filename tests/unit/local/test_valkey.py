"""The local Valkey keeps what it is asked to keep, and says why it did not start."""

from __future__ import annotations

import pytest
import redis

from bridge.local.valkey import LocalValkey, LocalValkeyError


@pytest.mark.parametrize("kept", [True, False])
def test_a_restart_keeps_data_only_in_a_data_dir(tmp_path, kept):
    """The port stays the same in both cases."""
    with LocalValkey(data_dir=tmp_path / "data" if kept else None) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
        server.restart()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("key") == (b"value" if kept else None)


def test_a_port_on_which_another_server_listens_is_refused():
    """The other server must not be taken for the new one."""
    with LocalValkey() as first:
        second = LocalValkey(port=first.port)
        with pytest.raises(LocalValkeyError, match=f"Port {first.port} of 127.0.0.1 is taken"):
            second.start()
        second.stop()


def test_a_server_that_ends_at_once_is_an_error():
    server = LocalValkey(options=("--no-such-option", "1"))
    with pytest.raises(LocalValkeyError, match="Valkey ended with status 1"):
        server.start()
    server.stop()


def test_a_server_that_was_not_started_has_no_pid():
    server = LocalValkey()
    with pytest.raises(LocalValkeyError, match="was not started"):
        _ = server.pid
    server.stop()
