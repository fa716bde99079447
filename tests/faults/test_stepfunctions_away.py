"""Step Functions is away, throttles or loses answers under load: nothing is lost.

Each outage lasts ``OUTAGE_S`` (an environment variable of this name sets it). Executions are
started all the time; a proxy stands between the bridge and the server.
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
    """Make a fleet that reaches Step Functions through the proxy; the test's own calls do not."""

    def make(kinds: str = "sleep", *, start: bool = True, **env: str) -> Deployment:
        # Activities are created through the proxy, too, before the fault.
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
    """Of each report: seconds from the first try to the one that was accepted."""
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
        """HeartbeatSeconds is ten minutes, because no heartbeat gets through during the outage.

        Polls are not disturbed: a lost answer to a poll loses its token, and only the state's own
        timeouts start such a task again.
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
        assert done >= 8, "jobs ran during the outage, until waiting outcomes filled the slots"
        all_claims_gone(deployment)
        all_alive(deployment)
        assert len(deployment.seen("sleep")) == len(load.executions), "no job ran twice"
        heard_closed = Counter(
            call.claim_id
            for call in sfn_proxy.calls[before:]
            if call.operation in REPORTS and call.status == 400 and call.done == "forwarded"
        )
        assert max(heard_closed.values(), default=0) <= 1, (
            "an outcome was sent again for a token that was closed"
        )

    def test_while_every_call_is_refused_nothing_is_lost(self, fleet, sfn_proxy):
        """Polls are refused, too; heartbeats and reports continue afterwards."""
        deployment = fleet()
        retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 3}]
        # A poll may be cut while its answer is on the way: the state retries such a task.
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

    def test_with_twenty_calls_a_second_nothing_times_out(self, fleet, sfn_proxy):
        """Reports are sent first, then heartbeats, then polls.

        24 jobs need a heartbeat a second; with reports and polls that exceeds the quota.
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
        assert taken["SendTaskHeartbeat"] > lasted_s, "heartbeats were starved"
        assert ran > 24, "polls were starved"
        assert max(report_waits_s(calls)) < 5, "reports go first"
        all_claims_gone(deployment)
