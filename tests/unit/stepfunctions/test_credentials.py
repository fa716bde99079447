"""Credentials that are loaded, refreshed and refused while calls go on."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.credentials import Credentials, DeferredRefreshableCredentials, RefreshableCredentials

from bridge.errors import CredentialsUnavailable
from bridge.stepfunctions import SharedCredentials, StepFunctions
from bridge.stepfunctions import credentials as module
from bridge.support.backoff import RetryPolicy
from tests.unit.stepfunctions.server import error

ONCE = RetryPolicy(attempts=1, base_s=0, cap_s=0)


def in_future(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class Role:
    """Something that hands out temporary credentials: ``KEY1``, ``KEY2``, …"""

    def __init__(self, *, lifetime_s: float = 3600.0, takes_s: float = 0.0) -> None:
        self.lifetime_s = lifetime_s
        self.takes_s = takes_s
        self.asked = 0
        self.threads: set[str] = set()
        self.busy = threading.Event()
        self.problem: Exception | None = None

    def hand_out(self) -> dict[str, str]:
        self.asked += 1
        number = self.asked
        self.threads.add(threading.current_thread().name)
        self.busy.set()
        time.sleep(self.takes_s)
        self.busy.clear()
        if self.problem:
            raise self.problem
        return {
            "access_key": f"KEY{number}",
            "secret_key": f"secret{number}",
            "token": f"session{number}",
            "expiry_time": in_future(self.lifetime_s).isoformat(),
        }

    def credentials(self, *, first_lifetime_s: float) -> RefreshableCredentials:
        return RefreshableCredentials(
            "KEY0", "secret0", "session0", in_future(first_lifetime_s), self.hand_out, "test-role"
        )

    def deferred(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self.hand_out, "test-role")


@pytest.fixture
def role(server) -> Role:
    """A role whose credentials the server accepts."""
    server.keys.update({f"KEY{n}": f"secret{n}" for n in range(10)})
    return Role()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch) -> None:
    """Refreshes may follow one another at once, where a test says nothing else."""
    monkeypatch.setattr(module, "PAUSE_S", 0.0)


def run(credentials, action):
    """Run it with a client that has these credentials."""
    load = credentials if callable(credentials) else lambda: credentials

    async def main():
        async with StepFunctions(
            credentials=SharedCredentials(load), heartbeat_retry=ONCE
        ) as client:
            return await action(client)

    return asyncio.run(main())


def beat(client):
    return client.send_task_heartbeat("token")


def many_beats(client, count: int = 50):
    return asyncio.gather(*(beat(client) for _ in range(count)))


async def turns_while(busy: threading.Event, awaitable) -> int:
    """How often the event loop came round while something was busy."""
    turns, done = 0, asyncio.ensure_future(awaitable)
    while not done.done():
        turns += busy.is_set()
        await asyncio.sleep(0.01)
    await done
    return turns


class TestLoading:
    def test_they_are_loaded_once_for_all_calls_and_off_the_loop(self, server):
        loaded, busy = [], threading.Event()

        def load():
            busy.set()
            loaded.append(threading.current_thread().name)
            time.sleep(0.3)
            busy.clear()
            return Credentials("AKIDEXAMPLE", server.keys["AKIDEXAMPLE"])

        assert run(load, lambda client: turns_while(busy, many_beats(client))) > 2
        assert loaded == ["bridge-credentials"]
        assert len(server.calls) == 50

    def test_missing_credentials_are_an_error(self, server):
        with pytest.raises(
            CredentialsUnavailable, match=r"no AWS credentials.*AWS_PROFILE"
        ) as caught:
            run(lambda: None, beat)
        assert caught.value.retryable
        assert server.calls == []

    def test_an_environment_without_credentials_is_an_error(self, server, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

        async def main():
            async with StepFunctions() as client:
                with pytest.raises(CredentialsUnavailable):
                    await beat(client)
                # They come while the process runs.
                monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
                monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.keys["AKIDEXAMPLE"])
                await beat(client)

        asyncio.run(main())

    def test_those_of_a_profile_are_used(self, server, monkeypatch, tmp_path):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_PROFILE", "work")
        server.keys["FROMFILE"] = "s"
        (tmp_path / "credentials").write_text(
            "[work]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n"
        )

        async def main():
            async with StepFunctions() as client:
                await beat(client)

        asyncio.run(main())
        assert server.calls[0].access_key == "FROMFILE"

    def test_a_provider_that_raises_is_an_error(self, server):
        def load():
            raise OSError("the socket of the agent is gone")

        with pytest.raises(CredentialsUnavailable, match="OSError: the socket of the agent"):
            run(load, beat)

    def test_a_provider_that_hangs_is_an_error_until_it_answers(self, server, monkeypatch):
        monkeypatch.setattr(module, "PATIENCE_S", 0.2)
        released = threading.Event()

        def load():
            released.wait(10)
            return Credentials("AKIDEXAMPLE", server.keys["AKIDEXAMPLE"])

        async def main(client):
            with pytest.raises(CredentialsUnavailable, match=r"not there after 0.2 s"):
                await beat(client)
            released.set()
            await beat(client)

        run(load, main)

    def test_a_provider_that_never_answers_does_not_hold_up_the_end(self, server, monkeypatch):
        monkeypatch.setattr(module, "PATIENCE_S", 0.1)
        released = threading.Event()

        async def main(client):
            with pytest.raises(CredentialsUnavailable):
                await beat(client)

        started = time.monotonic()
        run(lambda: released.wait(10), main)
        assert time.monotonic() - started < 3
        released.set()

    def test_after_a_failure_there_is_a_pause(self, server, monkeypatch):
        monkeypatch.setattr(module, "PAUSE_S", 60.0)
        loaded = []

        async def main(client):
            for _ in range(20):
                with pytest.raises(CredentialsUnavailable, match="no AWS credentials"):
                    await beat(client)

        run(lambda: loaded.append(1), main)
        assert len(loaded) == 1


class TestRefreshing:
    @pytest.mark.parametrize("first_lifetime_s", [-10.0, 0.0, 30.0])
    def test_expired_ones_are_refreshed_once_for_all_calls_and_off_the_loop(
        self, server, role, first_lifetime_s
    ):
        role.takes_s = 0.3
        credentials = role.credentials(first_lifetime_s=first_lifetime_s)
        turns = run(credentials, lambda client: turns_while(role.busy, many_beats(client)))
        assert turns > 2
        assert role.asked == 1
        assert role.threads == {"bridge-credentials"}
        assert {sent.access_key for sent in server.calls} == {"KEY1"}
        assert {sent.headers["X-Amz-Security-Token"] for sent in server.calls} == {"session1"}

    def test_deferred_ones_are_refreshed(self, server, role):
        run(role.deferred(), many_beats)
        assert role.asked == 1
        assert {sent.access_key for sent in server.calls} == {"KEY1"}

    def test_no_call_waits_while_the_old_ones_are_good(self, server, role):
        released = threading.Event()
        hand_out = role.hand_out

        def slowly():
            released.wait(10)
            return hand_out()

        async def main(client):
            await beat(client)
            credentials._expiry_time = in_future(300)  # good, and botocore renews them by now
            await many_beats(client)
            released.set()
            while client._http._credentials._refreshing:
                await asyncio.sleep(0.01)
            await beat(client)

        role.hand_out = slowly
        credentials = role.credentials(first_lifetime_s=3600)
        run(credentials, main)
        assert role.asked == 1
        assert [sent.access_key for sent in server.calls] == ["KEY0"] * 51 + ["KEY1"]

    def test_good_ones_are_not_refreshed(self, server, role):
        run(role.credentials(first_lifetime_s=3600), many_beats)
        assert role.asked == 0

    def test_a_failure_does_not_matter_while_the_old_ones_are_good(self, server, role):
        role.problem = RuntimeError("STS is away")

        async def main(client):
            await beat(client)
            credentials._expiry_time = in_future(300)
            await many_beats(client)
            await asyncio.sleep(0.1)
            await many_beats(client)

        credentials = role.credentials(first_lifetime_s=3600)
        run(credentials, main)
        assert {sent.access_key for sent in server.calls} == {"KEY0"}
        assert role.asked >= 1

    def test_a_failure_with_expired_ones_is_an_error_until_it_passes(self, server, role):
        role.problem = RuntimeError("STS is away")

        async def main(client):
            results = await asyncio.gather(
                *(beat(client) for _ in range(20)), return_exceptions=True
            )
            assert {type(result) for result in results} == {CredentialsUnavailable}
            assert {str(result) for result in results} == {
                "AWS credentials cannot be refreshed: RuntimeError: STS is away"
            }
            asked = role.asked
            role.problem = None
            await beat(client)
            return asked

        asked = run(role.credentials(first_lifetime_s=-10), main)
        assert asked == 1
        assert [sent.access_key for sent in server.calls] == ["KEY2"]

    def test_ones_that_are_expired_at_once_are_an_error(self, server, role):
        role.lifetime_s = -60
        with pytest.raises(CredentialsUnavailable, match="still expired"):
            run(role.credentials(first_lifetime_s=-10), beat)

    def test_ones_that_live_shortly_are_used(self, server, role):
        role.lifetime_s = 20

        async def main(client):
            for _ in range(5):
                await beat(client)

        run(role.credentials(first_lifetime_s=-10), main)
        assert len(server.calls) == 5

    def test_a_caller_that_is_cancelled_leaves_the_refresh_to_the_others(self, server, role):
        role.takes_s = 0.3

        async def main(client):
            first, second = (asyncio.create_task(beat(client)) for _ in range(2))
            await asyncio.sleep(0.1)
            first.cancel()
            await second
            assert first.cancelled()

        run(role.credentials(first_lifetime_s=-10), main)
        assert role.asked == 1


class TestRefusal:
    @pytest.mark.parametrize(
        "code", ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"]
    )
    def test_refused_ones_are_loaded_again(self, server, code):
        """Keys in a file are replaced while the process runs: botocore never looks twice."""
        server.keys["NEW"] = "new"
        offered = [
            Credentials("AKIDEXAMPLE", server.keys["AKIDEXAMPLE"]),
            Credentials("NEW", "new"),
        ]
        server.script("SendTaskHeartbeat", error(code))

        async def main(client):
            with pytest.raises(CredentialsUnavailable, match=code):
                await beat(client)
            await beat(client)

        run(lambda: offered.pop(0), main)
        assert [sent.access_key for sent in server.calls] == ["AKIDEXAMPLE", "NEW"]

    def test_many_refusals_load_once(self, server):
        loaded = []
        server.defaults["SendTaskHeartbeat"] = error("ExpiredTokenException")

        def load():
            loaded.append(1)
            return Credentials("AKIDEXAMPLE", server.keys["AKIDEXAMPLE"])

        async def main(client):
            for _ in range(2):
                await asyncio.gather(*(beat(client) for _ in range(20)), return_exceptions=True)

        run(load, main)
        assert len(loaded) == 2

    def test_fresh_ones_are_not_loaded_again_at_once(self, server, monkeypatch):
        monkeypatch.setattr(module, "PAUSE_S", 60.0)
        loaded = []
        server.defaults["SendTaskHeartbeat"] = error("UnrecognizedClientException")

        def load():
            loaded.append(1)
            return Credentials("AKIDEXAMPLE", server.keys["AKIDEXAMPLE"])

        async def main(client):
            for _ in range(5):
                with pytest.raises(CredentialsUnavailable):
                    await beat(client)

        run(load, main)
        assert len(loaded) == 1
