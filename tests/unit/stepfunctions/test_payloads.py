"""Requests stay within AWS's limits, or are not sent."""

from __future__ import annotations

import pytest

from bridge.errors import (
    InvalidRequest,
)
from tests.unit.stepfunctions.calls import (
    ARN,
    call,
    fail,
    succeed,
)
from tests.unit.stepfunctions.server import (
    REGION,
)


class TestLimits:
    @pytest.mark.parametrize(
        ("text", "limit", "kept"),
        [
            ("e" * 300, 256, 256),
            ("é" * 300, 256, 256),
            ("e\u0301" * 200, 256, 256),
            ("😀" * 200, 256, 128),
            ("a" + "😀" * 200, 256, 128),  # 1 + 127 pairs = 255: the next pair does not fit
        ],
    )
    def test_error_and_cause_are_cut_at_code_points(self, server, text, limit, kept):
        call(lambda client: fail(client, text, text * 128))
        sent = server.calls[0].fields
        assert len(sent["error"]) == kept
        assert text.startswith(sent["error"])
        for value, most in ((sent["error"], limit), (sent["cause"], 32_768)):
            assert len(value.encode("utf-16-le")) // 2 <= most, "as Java counts"
            value.encode("utf-8")
        assert len(sent["cause"].encode("utf-16-le")) // 2 >= 32_767

    def test_texts_at_the_limit_stay_whole(self, server):
        call(lambda client: fail(client, "😀" * 128, "c" * 32_768))
        assert server.calls[0].fields["error"] == "😀" * 128
        assert server.calls[0].fields["cause"] == "c" * 32_768

    def test_lone_surrogates_are_replaced(self, server):
        call(lambda client: fail(client, "E\ud83d", "cause \udcff of bytes"))
        sent = server.calls[0].fields
        assert (sent["error"], sent["cause"]) == ("E?", "cause ? of bytes")

    @pytest.mark.parametrize("char", ["a", "é", "😀"])
    def test_an_output_at_the_limit_is_sent(self, server, char):
        size = len(char.encode())
        output = '"' + char * ((262_144 - 2) // size) + '"'
        call(lambda client: succeed(client, output))
        assert server.calls[0].fields["output"] == output

    @pytest.mark.parametrize("char", ["a", "é", "😀"])
    def test_an_output_over_the_limit_is_not_sent(self, server, char):
        output = '"' + char * ((262_144 - 2) // len(char.encode()) + 1) + '"'
        with pytest.raises(InvalidRequest, match=r"\d+ bytes as UTF-8.* at most 262144"):
            call(lambda client: succeed(client, output))
        assert server.calls == []

    def test_an_output_that_is_no_unicode_is_not_sent(self, server):
        with pytest.raises(InvalidRequest, match="surrogates") as caught:
            call(lambda client: succeed(client, '"\ud83d"'))
        assert server.calls == []
        assert caught.value.__context__ is None, "it would hold the body, and with it the token"

    def test_an_empty_token_is_not_sent(self, server):
        async def all_three(client):
            for report in (
                client.send_task_heartbeat(""),
                client.send_task_success("", "{}"),
                client.send_task_failure("", error="E", cause=""),
            ):
                with pytest.raises(InvalidRequest, match="token is empty"):
                    await report

        call(all_three)
        assert server.calls == []

    def test_worker_name_is_cut_and_not_empty(self, server):
        async def both(client):
            await client.get_activity_task(ARN, worker_name="w" * 79 + "😀")
            with pytest.raises(InvalidRequest, match="worker name"):
                await client.get_activity_task(ARN, worker_name="")

        call(both)
        assert [sent.fields["workerName"] for sent in server.calls] == ["w" * 79]

    def test_an_arn_of_another_region_is_refused_here(self, server):
        elsewhere = ARN.replace(REGION, "us-east-1")
        with pytest.raises(InvalidRequest, match=r"us-east-1.*eu-west-1.*AWS_REGION=us-east-1"):
            call(lambda client: client.get_activity_task(elsewhere, worker_name="w"))
        assert server.calls == []
