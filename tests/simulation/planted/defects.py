"""Defects that the simulation must find, as replacements of text in a copy of ``bridge/``.

Each is a mistake that a person could make in a change of the core, and breaks one invariant.
"""

from __future__ import annotations

from typing import NamedTuple


class Defect(NamedTuple):
    """One planted defect.

    Attributes:
        invariant: The number of the invariant that it breaks; 0: an execution does not end as it
            should.
        what: What goes wrong.
        file: Below ``bridge/``.
        old: Text that occurs there once.
        new: What stands there instead.
    """

    name: str
    invariant: int
    what: str
    file: str
    old: str
    new: str


DEFECTS = (
    Defect(
        name="claim-not-counted",
        invariant=1,
        what="a new claim does not count as waiting",
        file="store/lua/store_claim.lua",
        old="count_waiting(activity, queue, 1)\n",
        new="",
    ),
    Defect(
        name="fresh-poll-free",
        invariant=1,
        what="one poll of an activity is free of charge, also while it may bring a waiting task",
        file="store/lua/_polls.lua",
        old="return fresh + max(0, idle - 1)",
        new="return max(0, fresh + idle - 1)",
    ),
    Defect(
        name="run-not-ended",
        invariant=1,
        what="a claim that ends still counts as running in the ledger",
        file="store/lua/_claims.lua",
        old="  if worker then\n    end_run(id, activity, worker)\n  end\n",
        new="",
    ),
    Defect(
        name="dispatch-before-store",
        invariant=2,
        what="a job is published while its claim is being stored",
        file="loops/intake.py",
        old="        passing(KillPoint.BEFORE_STORE)\n",
        new=(
            "        passing(KillPoint.BEFORE_STORE)\n"
            "        self.dispatching.add(asyncio.create_task(self._dispatch(claim)))\n"
        ),
    ),
    Defect(
        name="lost-message-forgotten",
        invariant=2,
        what="a job whose message was lost is never published again",
        file="store/lua/take_unstarted.lua",
        old="not held[id] and (not is_published or room_in[queue])",
        new="not held[id] and not is_published",
    ),
    Defect(
        name="retry-number-lost",
        invariant=2,
        what="a retry whose message was lost is published as the first run, and is dropped",
        file="store/lua/take_unstarted.lua",
        old="attempt, retry or 0, input)",
        new="attempt, 0, input)",
    ),
    Defect(
        name="no-fence",
        invariant=3,
        what="a delivery with an old attempt may run",
        file="store/lua/start.lua",
        old="if attempt ~= current then\n  return 'stale'\nend\n",
        new="",
    ),
    Defect(
        name="attempt-not-raised",
        invariant=3,
        what="a lost claim runs again with the same attempt",
        file="store/lua/recover.lua",
        old="'attempt', attempt + 1",
        new="'attempt', attempt",
    ),
    Defect(
        name="second-delivery-runs",
        invariant=3,
        what="a second delivery of a job runs beside the first",
        file="store/lua/start.lua",
        old="if state == 'running' and retry == last_retry then\n  return 'running'\nend\n",
        new="",
    ),
    Defect(
        name="stale-failure-counts",
        invariant=3,
        what="a failure of an old attempt ends the claim",
        file="store/lua/settle.lua",
        old="if not ok and attempt ~= current then\n  return 'stale'\nend\n",
        new="",
    ),
    Defect(
        name="heartbeat-without-lease",
        invariant=4,
        what="a running claim's token is kept alive whether or not its worker has a lease",
        file="store/lua/take_heartbeats.lua",
        old="is_due = leased and (",
        new="is_due = (",
    ),
    Defect(
        name="silence-unnoticed",
        invariant=4,
        what="a job with manual heartbeats is kept alive though it is silent",
        file="store/lua/take_heartbeats.lua",
        old="is_due = leased and (not alive or now <= tonumber(alive))",
        new="is_due = leased",
    ),
    Defect(
        name="lost-never-found",
        invariant=4,
        what="what a dead worker ran is not recovered",
        file="store/lua/find_lost.lua",
        old="if now < tonumber(amnesty_ends or 0) then",
        new="if true then",
    ),
    Defect(
        name="lease-never-ends",
        invariant=4,
        what="a worker that once had a lease has it for ever",
        file="store/lua/_claims.lua",
        old="return ends and tonumber(ends) >= now",
        new="return ends",
    ),
    Defect(
        name="no-outbox",
        invariant=5,
        what="an outcome is stored and not put into the outbox",
        file="store/lua/_claims.lua",
        old="  redis.call('ZADD', key('outbox'), now, id)\n",
        new="",
    ),
    Defect(
        name="success-not-stored",
        invariant=5,
        what="a job that succeeds is acknowledged without its outcome",
        file="worker/task_runner.py",
        old="    run.settle(outcome)\n",
        new="",
    ),
    Defect(
        name="outcome-dropped-in-outage",
        invariant=5,
        what="a job does not wait for a store that is away when it brings its outcome",
        file="worker/store_wait.py",
        old="            time.sleep(OUTCOME_RETRY_S)\n",
        new="            return None\n",
    ),
    Defect(
        name="report-dropped",
        invariant=5,
        what="an outcome that Step Functions did not take is not sent again",
        file="loops/reporter.py",
        old="        except BridgeError as exc:\n            await self._postpone(report, exc)\n",
        new=(
            "        except BridgeError:\n"
            "            await self._store.close_claims([report.claim_id], reason='x')\n"
        ),
    ),
    Defect(
        name="closed-not-heard",
        invariant=6,
        what="a heartbeat that hears that its token is closed does not close the claim",
        file="loops/heartbeat.py",
        old="                await self._close(claim_id, exc.code)\n",
        new="",
    ),
    Defect(
        name="late-report-kept",
        invariant=6,
        what="a report that hears that its token is closed is sent again and again",
        file="loops/reporter.py",
        old="            return exc.code, outcome\n",
        new="            raise\n",
    ),
    Defect(
        name="cancelled-not-told",
        invariant=6,
        what="running code is not told that its claim is closed",
        file="store/jobs.py",
        old='        return str(self._brief.call("cancel_reason", job.claim_id, run))\n',
        new='        return ""\n',
    ),
    Defect(
        name="token-logged",
        invariant=7,
        what="the poller logs the token of a claim that is not stored yet",
        file="loops/intake.py",
        old='"claim %s is not stored yet: %s", claim.claim_id, exc',
        new='"claim %s is not stored yet: %s", task.token, exc',
    ),
    Defect(
        name="token-in-message",
        invariant=7,
        what="recovery takes the token for a part of the input",
        file="store/lua/take_unstarted.lua",
        old="string.match(redis.call('GET', key('task', id)), '\\n(.*)$')",
        new="'\"' .. token_of(id) .. '\"'",
    ),
)
