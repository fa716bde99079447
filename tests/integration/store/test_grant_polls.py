"""How many polls are granted, and to which poller, on a real Valkey."""

from __future__ import annotations

from functools import partial

from bridge.model import Outcome
from bridge.store import Wish
from tests import waiting

OK = Outcome(output='{"a":1}')
FAILED = Outcome.failure("Boom", "it broke")


wait_until = partial(waiting.wait_until, timeout_s=30.0)


class TestGrantPolls:
    def test_no_poll_is_granted_while_reports_or_heartbeats_are_throttled(self, store):
        store.worker(slots=4)
        store.run(store.claims.hold_polls([""], 0.3))
        grant = self.grant(store, Wish("resize", "celery", 0, 3))
        assert (grant.slots, grant.polls) == (4, [0])
        assert wait_until(lambda: self.grant(store, Wish("resize", "celery", 0, 3)).polls == [3])

    def test_a_throttled_region_holds_up_no_other(self, store):
        store.worker(slots=4)
        store.run(store.claims.hold_polls(["eu-west-1/"]))
        there = Wish("far", "celery", 0, 2, place="eu-west-1/")
        assert self.grant(store, there, Wish("near", "celery", 0, 2)).polls == [0, 2]

    def grant(self, store, *wishes: Wish, poller="p1"):
        return store.run(store.claims.grant_polls(poller, wishes))

    def test_without_a_worker_no_poll_is_granted(self, store):
        grant = self.grant(store, Wish("resize", "celery", 0, 5))
        assert (grant.slots, grant.polls) == (0, [0])

    def test_a_worker_of_another_queue_does_not_count(self, store):
        store.worker(queues=["images"])
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [0]

    def test_as_many_polls_as_slots_times_look_ahead(self, store):
        store.worker(slots=4)
        grant = self.grant(store, Wish("resize", "celery", 0, 50))
        assert (grant.slots, grant.polls) == (4, [5])

    def test_claims_in_flight_take_slots(self, store):
        store.worker(slots=4)
        for n in range(3):
            store.claim(f"token-{n}")
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [2]

    def test_settled_claims_take_no_slot(self, store):
        """Nothing runs or waits; only a report is to be sent."""
        store.worker(slots=4)
        store.settled()
        assert self.grant(store, Wish("other", "celery", 0, 50)).polls == [5]

    def test_polls_that_are_open_take_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 3))
        assert self.grant(store, Wish("resize", "celery", 3, 50)).polls == [2]

    def test_a_repeated_call_does_not_double_the_grant(self, store):
        """The answer was lost: the poller says again that it has no open poll."""
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [5]
        assert self.grant(store, Wish("resize", "celery", 0, 5)).polls == [5]

    def test_activities_share_fairly(self, store):
        store.worker(slots=8)
        polls = self.grant(store, Wish("a", "celery", 0, 50), Wish("b", "celery", 0, 50)).polls
        assert polls == [5, 5]

    def test_pollers_share_fairly(self, store):
        """Another poller is live: half of the free room is left to it."""
        store.worker(slots=8)
        self.grant(store, Wish("resize", "celery", 0, 0), poller="p2")
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]
        assert self.grant(store, Wish("resize", "celery", 0, 50), poller="p2").polls == [5]

    def test_a_dead_pollers_polls_hold_no_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 50), poller="dead")
        wait_until(lambda: store.reader.read([]).pollers == [])
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_a_withdrawn_pollers_polls_hold_no_slots(self, store):
        store.worker(slots=4)
        self.grant(store, Wish("resize", "celery", 0, 50), poller="p2")
        assert store.run(store.claims.withdraw_poller("p2")) is True
        assert store.run(store.claims.withdraw_poller("p2")) is False
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_load_on_one_queue_does_not_take_the_workers_of_another(self, store):
        """w2 serves both queues: the room for a depends only on how much b needs."""
        store.worker("w1", slots=8, queues=["a"])
        store.worker("w2", slots=4, queues=["a", "b"])
        for n in range(10):
            store.claim(f"token-{n}", activity="a", queue="a")
        assert self.grant(store, Wish("b", "b", 0, 50)).polls == [5]
        assert self.grant(store, Wish("a", "a", 0, 50), Wish("b", "b", 5, 0)).polls == [0, 0]

    def test_claims_of_a_queue_without_workers_take_no_slots(self, store):
        store.claim(queue="orphaned")
        store.worker(slots=4)
        assert self.grant(store, Wish("resize", "celery", 0, 50)).polls == [5]

    def test_many_groups_of_workers_are_never_granted_more_than_all_slots(self, store):
        """There are more groups than could be compared one by one."""
        for n in range(10):
            store.worker(f"w{n}", slots=4, queues=[f"q{n}", "shared"])
        wishes = [Wish(f"a{n}", f"q{n}", 0, 50) for n in range(10)]
        assert self.grant(store, *wishes).polls == [5] * 10
        assert self.grant(store, Wish("s", "shared", 0, 50)).polls == [50]
        assert self.grant(store, Wish("s", "shared", 50, 0), Wish("a0", "q0", 0, 5)).polls == [0, 0]
