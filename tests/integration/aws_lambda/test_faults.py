"""An invocation while the store, the broker or Step Functions fails."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge import aws_lambda
from bridge.aws_lambda import TaskLost
from bridge.errors import AccessDenied
from bridge.stepfunctions import ActivityTask, StepFunctions
from tests.integration.aws_lambda.scene import Context, nothing
from tests.waiting import wait_until


class TestFaults:
    def test_a_broker_that_is_away_leaves_a_claim_that_recovery_dispatches(self, scene, caplog):
        scene.worker()
        scene.execute()
        scene.broker.refuse()
        result = scene.function(None, Context())
        assert result == nothing(polled=1, claimed=1)
        assert "is not dispatched yet" in caplog.text
        assert scene.queued() == []
        scene.broker.heal()
        wait_until(lambda: scene.recover().dispatched == 1, timeout_s=5)
        assert len(scene.queued()) == 1

    def test_a_token_that_is_not_stored_in_time_is_an_error(self, scene, monkeypatch, caplog):
        """The token is nowhere else, and after its time the function is killed."""
        scene.worker()

        async def brings(*args, **kwargs):
            scene.store.refuse()
            return ActivityTask("the-secret-token", "{}")

        monkeypatch.setattr(StepFunctions, "get_activity_task", brings)
        monkeypatch.setattr(aws_lambda, "AFTERWARDS_S", -70.0)  # it begins with 5 s left
        with pytest.raises(TaskLost, match=r"claims \['[0-9a-f]{24}'\] not stored") as raised:
            scene.function(None, Context(6))
        assert "the-secret-token" not in f"{raised.value} {caplog.text}"

    def test_a_poll_that_does_not_return_is_an_error(self, scene, monkeypatch):
        scene.worker()

        async def never(*args, **kwargs):
            await asyncio.sleep(60)

        monkeypatch.setattr(StepFunctions, "get_activity_task", never)
        monkeypatch.setattr(aws_lambda, "AFTERWARDS_S", -70.0)
        began = time.monotonic()
        with pytest.raises(TaskLost, match="1 polls not at an end"):
            scene.function(None, Context(6))
        assert time.monotonic() - began < 6

    def test_a_poll_that_is_refused_is_an_error(self, scene, monkeypatch):
        """Lambda counts errors; results are not read."""
        scene.worker()

        async def refused(*args, **kwargs):
            raise AccessDenied("GetActivityTask: no", code="AccessDeniedException")

        monkeypatch.setattr(StepFunctions, "get_activity_task", refused)
        with pytest.raises(AccessDenied):
            scene.function(None, Context())
        assert scene.pollers() == []

    def test_an_invocation_works_after_a_freeze_that_cut_every_connection(self, scene):
        scene.worker()
        for n in (1, 2, 3):
            scene.execute()
            assert scene.function(None, Context())["dispatched"] == 1
            assert len(scene.queued()) == n
            wait_until(
                lambda: scene.store.connections == scene.broker.connections == 0,
                timeout_s=2,
                what="nothing stays open",
            )
            scene.store.cut()
            scene.broker.cut()

    def test_an_invocation_works_with_connections_that_were_cut(self, scene, monkeypatch):
        """If an invocation is killed, it closes nothing."""
        scene.worker()
        scene.execute()
        with monkeypatch.context() as patch:
            patch.setattr(type(scene.app.pool), "resize", lambda *args, **kwargs: None)
            assert scene.function(None, Context())["dispatched"] == 1
            assert scene.broker.connections > 0
        scene.broker.cut()
        scene.execute()
        assert scene.function(None, Context())["claimed"] == 1
        wait_until(lambda: scene.recover() and len(scene.queued()) == 2, timeout_s=5)
