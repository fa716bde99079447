"""Step Functions away, slow, or losing what it was told: under load, and nothing is lost.

Each outage lasts ``OUTAGE_S`` (a variable of this name sets it), while executions go on being
started; a proxy stands between the bridge and the server.
"""

from __future__ import annotations

import os
import time
from collections import Counter

import pytest

from tests.acceptance.deployment import Deployment
from tests.faults.http_proxy import HttpProxy, answer, hang, lose_answer, reset_before
from tests.faults.load import Load, all_alive, all_claims_gone
from tests.waiting import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

OUTAGE_S = float(os.environ.get("OUTAGE_S", "12"))
AWAY_S = 30.0
THROTTLED_S = 10.0
REPORTS = ("SendTaskSuccess", "SendTaskFailure")


@pytest.fixture
def sfn_proxy(local_stepfunctions):
    host, port = local_stepfunctions.url.removeprefix("http://").split(":")
    with HttpProxy(host, int(port)) as proxy:
        yield proxy


@pytest.fixture
def fleet(deploy, sfn_proxy):
    """A fleet whose way to Step Functions leads through the proxy; the test's own does not."""

    def make(kinds: str = "sleep", *, start: bool = True, **env: str) -> Deployment:
        # Control calls before the fault: activities are created through the proxy, too.
        made = deploy(JOBS_ONLY=kinds, AWS_ENDPOINT_URL_SFN=sfn_proxy.url(), **env)
        made.create_activities()
        if start:
            made.worker("--pool", "threads", concurrency=8)
            made.beat()
            made.poller()
        return made

    return make


FAULTS = {
    "5xx": answer(500, "InternalFailure", "we are sorry"),
    "resets": reset_before,
    "hangs": hang,
    "loses-answers": lose_answer,
}


def report_waits_s(calls) -> list[float]:
    """From the first try of each report to the one that was taken."""
    first: dict[str, float] = {}
    waits = []
    for call in calls:
        if call.operation == "SendTaskSuccess":
            first.setdefault(call.claim_id, call.at)
            if call.status == 200:
                waits.append(call.at - first[call.claim_id])
    return waits


class TestAway:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_every_finished_jobs_outcome_arrives(self, fleet, sfn_proxy, fault):
        """No timeout can help while no call gets through, so the states wait for ten minutes.

        Polls are left alone: an answer of theirs that is lost takes its token with it, which only
        the state's own timeouts bring back.
        """
        deployment = fleet()
        machine = deployment.one_state("sleep", HeartbeatSeconds=600, TimeoutSeconds=900)
        with Load(deployment, machine, per_s=2, seconds=0.5) as load:
            wait_until(lambda: len(deployment.seen("sleep")) >= 4)
            before = len(sfn_proxy.calls)
            rules = [
                sfn_proxy.rule(FAULTS[fault], operation=call)
                for call in (*REPORTS, "SendTaskHeartbeat")
            ]
            time.sleep(OUTAGE_S)
            done = len(deployment.seen("sleep"))
            sfn_proxy.heal()
        assert rules[0].hits > 0
        statuses = load.statuses()
        assert statuses == {"SUCCEEDED": len(load.executions)}
        assert done >= 8, "slots fill up with outcomes that wait; before that, jobs ran"
        all_claims_gone(deployment)
        all_alive(deployment)
        assert len(deployment.seen("sleep")) == len(load.executions), "none ran twice"
        heard_closed = Counter(
            call.claim_id
            for call in sfn_proxy.calls[before:]
            if call.operation in REPORTS and call.status == 400 and call.done == "forwarded"
        )
        assert max(heard_closed.values(), default=0) <= 1, "a closed token was told again"

    def test_away_and_back(self, fleet, sfn_proxy):
        """Every call is refused, polls too; heartbeats and reports go on where they stood."""
        deployment = fleet()
        retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 3}]
        # A poll may be cut in the moment of its answer: the state brings such a task back.
        machine = deployment.one_state(
            "sleep", HeartbeatSeconds=int(AWAY_S) + 15, TimeoutSeconds=600, Retry=retry
        )
        with Load(deployment, machine, per_s=2, seconds=0.5) as load:
            wait_until(lambda: len(deployment.seen("sleep")) >= 4)
            sfn_proxy.refuse()
            time.sleep(AWAY_S)
            sfn_proxy.heal()
        assert load.statuses(timeout_s=200) == {"SUCCEEDED": len(load.executions)}
        all_claims_gone(deployment)
        all_alive(deployment)

    def test_throttled_to_twenty_calls_a_second(self, fleet, sfn_proxy):
        """Reports first, then heartbeats, then polls; nothing times out that the quota can beat.

        24 jobs beat once a second, all at once more than the quota with reports and polls.
        """
        deployment = fleet("sleep", start=False, BRIDGE_LOOK_AHEAD="1")
        deployment.worker("--pool", "threads", concurrency=24)
        deployment.beat()
        deployment.poller()
        machine = deployment.one_state("sleep", HeartbeatSeconds=5)
        with Load(deployment, machine, per_s=8, seconds=3) as load:
            wait_until(lambda: len(deployment.seen("sleep")) >= 24)
            begun, before = time.monotonic(), len(sfn_proxy.calls)
            limit = sfn_proxy.throttle(20, burst=20)
            time.sleep(THROTTLED_S)
            calls = sfn_proxy.calls[before:]
            ran = len(deployment.seen("sleep"))
            limit.remove()
        lasted_s = time.monotonic() - begun
        assert load.statuses(timeout_s=200) == {"SUCCEEDED": len(load.executions)}
        refused = Counter(c.operation for c in calls if c.done == "throttled")
        taken = Counter(c.operation for c in calls if c.done != "throttled")
        assert sum(refused.values()) > 0, "the quota was never reached"
        assert taken["SendTaskHeartbeat"] > lasted_s, "they were starved"
        assert ran > 24, "polls were starved for good"
        assert max(report_waits_s(calls)) < 5, "reports go first"
        all_claims_gone(deployment)
