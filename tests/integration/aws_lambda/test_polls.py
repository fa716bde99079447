"""Which polls an invocation opens, and what it does with their tasks."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from typing import Any

import pytest

from bridge.aws_lambda import time_needed_s
from bridge.errors import SettingsError, StoreUnavailable
from bridge.model import Claim, Job, claim_id_of
from bridge.stepfunctions import StepFunctions
from bridge.store import ClaimStore, Wish
from tests.integration.aws_lambda.scene import ENOUGH_S, Context, nothing, work
from tests.waiting import wait_until


class TestOnePoll:
    def test_a_task_is_claimed_stored_and_dispatched(self, scene, caplog):
        caplog.set_level(logging.DEBUG)
        scene.worker()
        scene.execute({"n": 7})
        result = scene.function({"activity": scene.activity}, Context())
        assert result == nothing(polled=1, claimed=1, dispatched=1)

        ((task_key, task),) = scene.keys("task:*").items()
        claim_id, token = task_key.rpartition(":")[2], task.partition("\n")[0]
        (message,) = scene.queued()
        assert message["headers"]["id"] == Job(claim_id, 1).id
        assert message["headers"]["task"] == "work"
        assert (scene.status().queued, scene.status().polls) == (1, 0)
        # Neither does the token leave the store, nor does anything of this poller stay behind.
        assert scene.pollers() == []
        for text in (json.dumps(result), caplog.text, json.dumps(message)):
            assert token not in text
            assert "local-secret" not in text

    def test_without_an_event_every_activity_is_polled_once(self, scene):
        scene.app.task(work, name="other", activity=f"{scene.activity}-2", shared=False)
        scene.sfn.create_activity(name=f"{scene.activity}-2")
        scene.worker()
        scene.execute()
        began = time.monotonic()
        result = scene.function(None, Context())
        assert result == nothing(polled=2, claimed=1, dispatched=1)
        assert time.monotonic() - began < 2 * 2, "both polls are held at the same time"

    def test_an_empty_poll_claims_nothing(self, scene):
        scene.worker()
        assert scene.function({"activity": scene.activity}, Context()) == nothing(polled=1)
        assert scene.queued() == []
        assert scene.status().polls == 0

    def test_one_invocation_claims_one_task_of_an_activity(self, scene):
        scene.worker()
        for _ in range(2):
            scene.execute()
        for n in (1, 2):
            assert scene.function(None, Context())["claimed"] == 1
            assert len(scene.queued()) == n

    def test_its_poll_holds_a_slot_for_longer_than_its_lease(self, scene, monkeypatch):
        """Else another poller would be granted the same slot."""
        scene.worker(slots=1)
        ended = threading.Event()

        async def held(*args, **kwargs):
            while not ended.is_set():
                await asyncio.sleep(0.05)

        monkeypatch.setattr(StepFunctions, "get_activity_task", held)
        results: list[Any] = []
        thread = threading.Thread(
            target=lambda: results.append(scene.function(None, Context())), daemon=True
        )
        thread.start()
        until = time.monotonic() + 4  # the lease of a poller is 3 s
        wait_until(lambda: scene.status().polls == 1)
        while time.monotonic() < until:
            scene.worker(slots=1)
            assert scene.status().polls == 1
            time.sleep(0.2)
        ended.set()
        thread.join(20)
        assert results == [nothing(polled=1)]
        assert scene.status().polls == 0


class TestNoPoll:
    @pytest.fixture(autouse=True)
    def polls(self, monkeypatch):
        """Every poll that is opened."""
        polls: list[Any] = []

        async def noted(*args, **kwargs):
            polls.append(args)

        monkeypatch.setattr(StepFunctions, "get_activity_task", noted)
        return polls

    def test_a_time_out_of_the_function_that_is_too_short_is_an_error(self, scene, polls):
        scene.worker()
        with pytest.raises(SettingsError, match=r"has 60 s left .* 95 s.* time-out to 120 s"):
            scene.function(None, Context(60))
        assert polls == []

    def test_no_poll_is_opened_after_a_start_that_used_up_the_time(self, scene, polls, caplog):
        scene.worker()
        result = scene.function(None, Context(ENOUGH_S, time_needed_s(scene.settings) - 1))
        assert result["polled"] == 0
        assert "94 s are left after the start" in result["refused"]
        assert "no poll is opened: 94 s" in caplog.text
        assert polls == []

    def test_no_poll_is_opened_without_a_worker(self, scene, polls, caplog):
        result = scene.function(None, Context())
        assert result == nothing(refused=f"no worker serves the queue ({scene.activity})")
        assert "no poll is opened: no worker serves the queue" in caplog.text
        assert polls == []
        assert scene.pollers() == []

    def test_no_poll_is_opened_without_room(self, scene, polls):
        scene.worker(slots=1)

        async def fill():
            claims = ClaimStore(scene.settings)
            for token in ("token-1", "token-2"):  # look_ahead is 1.25
                claim = Claim(claim_id_of(token), scene.activity, "{}")
                await claims.store(
                    claim,
                    token=token,
                    queue=scene.queue,
                    interval_s=10,
                    manual=False,
                    max_attempts=1,
                    poller="p1",
                )
            await claims.close()

        asyncio.run(fill())
        result = scene.function(None, Context())
        assert result["refused"].startswith("no room: the slots and the waiting room")
        assert polls == []

    def test_no_poll_is_opened_beside_another_pollers(self, scene, polls, caplog):
        """It takes the next task: nothing is wrong, and nothing is warned of."""
        scene.worker()

        async def open_one():
            claims = ClaimStore(scene.settings.model_copy(update={"lease_s": 60}))
            await claims.grant_polls("p2", [Wish(scene.activity, scene.queue, 0, 0, idle=1)])
            await claims.close()

        asyncio.run(open_one())
        result = scene.function(None, Context())
        assert result == nothing(
            refused="covered: another poller has a poll open, which takes the next task "
            f"({scene.activity})"
        )
        assert polls == []
        assert "no poll is opened" not in caplog.text

    @pytest.mark.parametrize("way", ["refuse", "freeze"])
    def test_a_store_that_is_away_is_an_error(self, scene, polls, way):
        scene.worker()
        getattr(scene.store, way)()
        with pytest.raises(StoreUnavailable):
            scene.function(None, Context())
        assert polls == []

    def test_a_store_that_answers_nonsense_is_an_error(self, scene, polls, monkeypatch):
        async def broken(*args):
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(ClaimStore, "grant_polls", broken)
        with pytest.raises(ZeroDivisionError):
            scene.function(None, Context())
        assert polls == []

    @pytest.mark.parametrize("event", [{"activity": "unknown"}, {"activity": ["x"]}])
    def test_an_activity_that_no_task_has_is_an_error(self, scene, polls, event):
        with pytest.raises(SettingsError, match="is none of"):
            scene.function(event, Context())
        assert polls == []

    def test_eager_tasks_are_an_error(self, scene, polls):
        scene.app.conf.task_always_eager = True
        with pytest.raises(SettingsError, match="Turn it off"):
            scene.function(None, Context())
        assert polls == []
