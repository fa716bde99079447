"""What must hold after every step, in the store itself."""

from __future__ import annotations

from collections import Counter

from hypothesis.stateful import invariant

from bridge.model import claim_id_of
from tests.model.world import ACTIVITIES, QUEUE, ROOT, RUNS_REMEMBERED, WAITS, WORKERS, World


class Invariants(World):
    """Checks of all keys against the model."""

    @invariant()
    def every_claim_stands_where_it_is_found_again(self) -> None:
        """Invariants 2, 4 and 5, in Valkey itself; and no counter drifts."""
        tally, load, in_flight = Counter(), Counter(), Counter()
        unstarted, outbox, heartbeats = (
            set(self.redis.zrange(f"{ROOT}:{name}", 0, -1))
            for name in ("unstarted", "outbox", "heartbeats")
        )
        runs = {worker: self.redis.smembers(f"{ROOT}:runs:{worker}") for worker in WORKERS}
        alive = set()
        for claim in self.model.values():
            found = self.redis.hgetall(f"{ROOT}:claim:{claim.claim_id}")
            assert found.get("state", "closed") == claim.state
            holders = {worker for worker, held in runs.items() if claim.claim_id in held}
            assert holders == ({claim.worker} if claim.state == "running" else set())
            task, outcome = (
                self.redis.get(f"{ROOT}:{part}:{claim.claim_id}") for part in ("task", "outcome")
            )
            if claim.state == "closed":
                assert task is outcome is None, "a secret outlives its claim"
                continue
            alive.add(claim.claim_id)
            assert int(found["attempt"]) == claim.attempt <= claim.attempts
            assert int(found.get("retry", 0)) == claim.retry
            token, _, text = task.partition("\n")
            assert (claim_id_of(token), text) == (claim.claim_id, "{}")
            assert outcome == (claim.outcome.dump() if claim.state == "settled" else None)
            assert (claim.claim_id in unstarted) == (claim.state in ("claimed", "queued"))
            assert (claim.claim_id in outbox) == (claim.state == "settled")
            assert found.get("run", "") == claim.run
            tally[f"{claim.activity}|{claim.state.replace('claimed', 'queued')}"] += 1
            load[QUEUE[claim.activity]] += 1
            in_flight[claim.activity] += 1
        assert heartbeats == alive
        assert unstarted | outbox <= alive
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:tally").items()} == tally
        assert {k: int(n) for k, n in self.redis.hgetall(f"{ROOT}:load").items()} == load
        for activity in ACTIVITIES:
            assert self.redis.zcard(f"{ROOT}:claims:{activity}") == in_flight[activity]

    @invariant()
    def the_sums_of_the_ledger_are_those_of_its_claims_and_workers(self) -> None:
        """The store changes the sums step by step; here they are counted anew."""
        in_countdown, oldest = self.zset("countdown"), self.zset("oldest")
        waiting, aside, running = Counter(), Counter(), Counter()
        begun: dict[str, dict[str, int]] = {activity: {} for activity in ACTIVITIES}
        for claim in self.model.values():
            if claim.state in WAITS:
                if claim.claim_id in in_countdown:
                    assert in_countdown.pop(claim.claim_id) == round(claim.due * 1000)
                    aside[f"{claim.activity}|countdown"] += 1
                elif claim.claim_id in self.held_back:
                    aside[f"{claim.activity}|held_back"] += 1
                else:
                    assert claim.due <= self.now
                    waiting[f"{claim.activity}|{QUEUE[claim.activity]}"] += 1
            elif claim.state == "running":
                running[f"{claim.activity}|{self.fleet[claim.worker].class_name}"] += 1
                begun[claim.activity][claim.claim_id] = claim.begun_ms
        assert not in_countdown
        assert self.counts("waiting") == waiting
        assert self.counts("aside") == aside
        assert self.counts("running") == running
        assert self.redis.hgetall(f"{ROOT}:held_back") == self.held_back
        for activity in ACTIVITIES:
            assert self.zset(f"begun:{activity}") == begun[activity]
            if begun[activity]:  # a run that has ended may stay there until a grant corrects it
                assert oldest[activity] <= min(begun[activity].values())
            self.check_what_was_learnt(activity)
        self.check_offers()

    def check_what_was_learnt(self, activity: str) -> None:
        known = self.redis.hget(f"{ROOT}:lasted", activity)
        last = self.lasted[activity][: -RUNS_REMEMBERED - 1 : -1]
        expected = [max(last), self.ended_ms[activity], *last] if last else []
        assert [int(part) for part in (known or "").split()] == expected

    def check_offers(self) -> None:
        offers, classes = {}, Counter()
        for name, worker in self.fleet.items():
            assert self.redis.smembers(f"{ROOT}:unwanted:{name}") == worker.unwanted
            if worker.counts:
                runs = sum(claim.worker == name for claim in self.model.values())
                used, called = min(worker.offered, runs), worker.class_name
                row = (worker.slots, worker.ordinary, worker.offered, used, called)
                offers[name] = "|".join(map(str, row))
                if called:
                    amounts = {"S": worker.slots, "E": worker.offered, "U": used, "N": 1}
                    classes.update({f"{kind}|{called}": n for kind, n in amounts.items()})
        assert self.redis.hgetall(f"{ROOT}:offers") == offers
        assert +self.counts("classes") == +classes

    @invariant()
    def no_claim_has_two_outcomes(self) -> None:
        assert all(len(claim.reported) <= 1 for claim in self.model.values())
