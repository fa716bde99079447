"""Which calls are tried again, how often, and after which pauses."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.errors import (
    ServiceUnavailable,
    StepFunctionsError,
    Throttled,
    TokenClosed,
)
from bridge.loops.reporter import HOLD_S
from bridge.support.backoff import HEARTBEAT_RETRY, REPORT_RETRY, RetryPolicy
from tests.unit.stepfunctions.calls import (
    Pauses,
    call,
    fail,
    heartbeat,
    poll,
    succeed,
)
from tests.unit.stepfunctions.server import (
    error,
    hang_up,
    late,
    ok,
    raw,
    reset,
    truncated,
)


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
        [(heartbeat, HEARTBEAT_RETRY), (succeed, REPORT_RETRY), (fail, REPORT_RETRY)],
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
        assert HEARTBEAT_RETRY.within_s < REPORT_RETRY.within_s < HOLD_S

    def test_a_client_may_have_policies_of_its_own(self, server):
        server.defaults["SendTaskHeartbeat"] = server.defaults["SendTaskSuccess"] = raw(
            b"", status=500
        )
        pauses = Pauses()

        async def both(client):
            for report in (heartbeat(client), succeed(client)):
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
    @pytest.mark.parametrize("action", [heartbeat, succeed, fail])
    def test_a_connection_closed_while_idle_is_replaced_at_once(self, server, lost, action):
        name = {
            heartbeat: "SendTaskHeartbeat",
            succeed: "SendTaskSuccess",
            fail: "SendTaskFailure",
        }[action]
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
            await asyncio.gather(*(heartbeat(client) for _ in range(20)))
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
                lambda client: heartbeat(
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
                lambda client: heartbeat(
                    client, RetryPolicy(attempts=50, base_s=10.0, cap_s=10.0, within_s=5)
                ),
                sleep=pauses.sleep,
                uniform=pauses.uniform,
            )
        assert len(server.calls) == 1
        assert pauses.slept == []
