"""A task token is in no message, log line, or chained exception."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback

import pytest

from bridge.errors import (
    InvalidRequest,
    ServiceUnavailable,
    StepFunctionsError,
)
from bridge.stepfunctions import (
    StepFunctions,
)
from tests.unit.stepfunctions.calls import (
    ONCE,
    TOKEN,
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
    task,
    truncated,
)


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
    def test_errors_of_reports_do_not_hold_it(self, server, answer, caplog, monkeypatch):
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
                for action in (heartbeat, succeed, fail):
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
    def test_errors_of_polls_do_not_hold_it(self, server, answer, caplog):
        caplog.set_level(logging.DEBUG)
        server.script("GetActivityTask", answer)
        with pytest.raises(ServiceUnavailable) as caught:
            call(poll)
        assert not _leaks(caplog.text + _everything_said(caught.value))

    def test_a_task_in_a_log_line_does_not_show_it(self, server, caplog):
        server.script("GetActivityTask", task(TOKEN, '{"secret": "input"}'))
        found = call(poll)
        assert repr(found) == "ActivityTask()"
        assert not _leaks(f"{found} {found!r} {caplog.text}")

    def test_a_token_that_is_no_unicode_is_not_quoted(self, server):
        with pytest.raises(InvalidRequest) as caught:
            call(lambda client: client.send_task_heartbeat(TOKEN + "\ud83d"))
        assert not _leaks(_everything_said(caught.value))

    def test_the_signed_headers_are_not_chained(self, server, monkeypatch):
        monkeypatch.setenv("AWS_SESSION_TOKEN", "session-secret")
        server.script("SendTaskHeartbeat", hang_up)
        with pytest.raises(ServiceUnavailable) as caught:
            call(lambda client: heartbeat(client, ONCE))
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
