"""What occupies slots and waiting room, and how many polls that leaves: the ledger's rules."""

from __future__ import annotations

import time

import pytest
import redis

from bridge.model import Outcome
from bridge.store import JobStore, PollRefusal, Wish
from tests.fixtures_bridge import NUMBERS
from tests.waiting import wait_until

OK = Outcome(output="1")
MANY = Wish("resize", "celery", 0, 50)
OTHER = Wish("other", "celery", 0, 50)


@pytest.fixture
def settings(settings):
    """A lease that lasts for a test on a busy machine, and jobs of two seconds that are short."""
    return settings.model_copy(update={"lease_s": 30.0, "look_ahead_s": 2.0})


def grant(store, *wishes: Wish, poller="p1"):
    return store.run(store.claims.grant_polls(poller, wishes))


def announce(store, worker="w1", *, slots=4, queues=("celery",), **said) -> None:
    store.jobs.renew_lease(worker, number=next(NUMBERS), slots=slots, queues=queues, **said)


def announce_for_a_second(store, **said) -> None:
    jobs = JobStore(store.settings.model_copy(update={"lease_s": 1.0}))
    jobs.renew_lease("w1", number=next(NUMBERS), slots=4, queues=["celery"], **said)
    jobs.close()


def runs(store, token: str, *, worker="w1", activity="resize"):
    """A claim that the worker runs."""
    claim = store.claim(token, activity=activity)
    assert store.jobs.start(claim.job, retry=0, worker=worker, run="r1") == "run"
    return claim.job


def run_one(store, token: str, *, activity="resize", lasts_s=0.0) -> None:
    """A claim from its poll to its end; a run of it takes so long."""
    job = runs(store, token, activity=activity)
    time.sleep(lasts_s)
    store.jobs.settle(job, OK)
    store.run(store.claims.close_claims([job.claim_id], reason="reported"))


class TestSlots:
    def test_ordinary_tasks_occupy_slots(self, store):
        """Their slots offer no waiting room, either."""
        announce(store, ordinary=4)
        found = grant(store, MANY)
        assert (found.slots, found.polls, found.refused) == (4, [0], [PollRefusal.NO_ROOM])
        announce(store, ordinary=1)
        assert grant(store, MANY).polls == [4]  # 3 × 1.25

    def test_a_draining_worker_takes_no_slots_from_the_others(self, store):
        announce(store, "old", slots=4)
        for n in range(4):
            runs(store, f"token-{n}", worker="old")
        announce(store, "old", slots=0)
        assert grant(store, MANY).refused == [PollRefusal.NO_WORKER]
        announce(store, "new", slots=4)
        assert grant(store, MANY).polls == [5]

    def test_a_job_whose_claim_was_closed_keeps_its_slot(self, store):
        announce(store)
        job = store.running()
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert grant(store, MANY).polls == [4]  # 3 × 1.25
        announce(store, active=[job.claim_id], claim_ids=[job.claim_id])
        assert grant(store, MANY).polls == [4]
        announce(store)
        assert grant(store, MANY).polls == [5]

    def test_a_job_whose_claim_was_failed_keeps_its_slot(self, store):
        """It was silent for too long with ``heartbeat="manual"``: it is failed, and runs on."""
        job = store.running(manual=True, interval_s=0.01)
        given_up = wait_until(lambda: store.run(store.claims.take_heartbeats(10)).given_up)
        assert [each.job for each in given_up] == [job]
        assert grant(store, OTHER).polls == [4]

    def test_a_job_that_ends_in_order_frees_its_slot_at_once(self, store):
        job = store.settled()
        announce(store, active=[job.claim_id], claim_ids=[job.claim_id])
        assert grant(store, OTHER).polls == [5]
        announce(store, active=[job.claim_id], claim_ids=[job.claim_id])
        assert grant(store, OTHER).polls == [4]

    @pytest.mark.parametrize("announced", [{"queues": ["other"]}, {"slots": 0}])
    def test_only_what_a_worker_announced_last_counts(self, store, announced):
        announce(store)
        assert grant(store, MANY).polls == [5]
        announce(store, **announced)
        assert grant(store, MANY).refused == [PollRefusal.NO_WORKER]

    def test_a_pool_may_grow_and_shrink(self, store):
        for slots, polls in (1, 2), (8, 10), (4, 5):
            announce(store, slots=slots)
            assert grant(store, MANY).polls == [polls]

    def test_a_pool_that_shrank_below_its_jobs_takes_no_slots_from_another(self, store):
        announce(store, "w1", slots=4)
        for n in range(4):
            runs(store, f"token-{n}")
        announce(store, "w1", slots=1)
        announce(store, "w2", slots=4)
        assert grant(store, MANY).polls == [6]  # ceil(5 × 1.25) − 1

    def test_a_worker_that_is_gone_offers_no_slots(self, store):
        announce_for_a_second(store)
        wait_until(lambda: grant(store, MANY).slots == 0)
        announce(store)
        assert grant(store, MANY).polls == [5]


class TestWaiting:
    def test_a_countdown_takes_no_room_until_it_is_due(self, store):
        for n in range(5):
            job = store.running(f"token-{n}")
            assert store.jobs.release(job, run="r1", retry=1, delay_s=1.0)
        announce(store)
        status = store.status()
        assert (status.countdown, status.waiting) == (5, 0)
        assert grant(store, OTHER).polls == [5]
        wait_until(lambda: (grant(store, OTHER), store.status().waiting == 5)[1])
        assert store.status().countdown == 0

    def test_a_claim_in_a_countdown_leaves_nothing_when_it_ends(self, store):
        job = store.running()
        assert store.jobs.release(job, run="r1", retry=1, delay_s=600)
        store.run(store.claims.close_claims([job.claim_id], reason="TaskTimedOut"))
        assert (store.status().countdown, store.status().waiting) == (0, 0)

    def test_claims_held_back_for_a_rate_limit_take_no_room_from_others(self, store):
        claims = [store.claim(f"token-{n}").claim_id for n in range(4)]
        announce(store, claim_ids=claims)
        assert grant(store, OTHER).polls == [1]
        announce(store, claim_ids=claims, held_back=claims)
        assert store.status().held_back == 4
        found = grant(store, OTHER, MANY)
        assert (found.polls, found.refused[1]) == ([5, 0], PollRefusal.HELD_BACK)

    def test_a_claim_that_is_not_held_back_any_more_waits_again(self, store):
        claim = store.claim()
        announce(store, claim_ids=[claim.claim_id], held_back=[claim.claim_id])
        assert (store.status().held_back, store.status().waiting) == (1, 0)
        announce(store, claim_ids=[claim.claim_id])
        assert (store.status().held_back, store.status().waiting) == (0, 1)

    def test_claims_that_a_dead_worker_held_back_wait_again(self, store):
        claim = store.claim()
        announce_for_a_second(store, claim_ids=[claim.claim_id], held_back=[claim.claim_id])
        wait_until(lambda: grant(store, OTHER).slots == 0)
        assert (store.status().held_back, store.status().waiting) == (0, 1)

    def test_a_job_that_begins_is_not_held_back_any_more(self, store):
        claim = store.claim()
        announce(store, claim_ids=[claim.claim_id], held_back=[claim.claim_id])
        assert store.jobs.start(claim.job, retry=0, worker="w1", run="r1") == "run"
        assert (store.status().held_back, store.status().running) == (0, 1)


class TestPolls:
    def test_the_first_idle_poll_is_free(self, store):
        announce(store)
        idle = Wish("idle", "celery", 0, 0, idle=1)
        assert grant(store, idle, MANY).polls == [0, 5]

    def test_further_idle_polls_take_room(self, store):
        announce(store)
        idle = Wish("idle", "celery", 0, 0, idle=3)
        assert grant(store, idle, MANY).polls == [0, 3]

    def test_fresh_polls_count_as_claims(self, store):
        announce(store)
        assert grant(store, Wish("fresh", "celery", 3, 0), MANY).polls == [0, 2]

    def test_an_activity_with_an_idle_poll_gets_no_other(self, store):
        """Its queue is empty, even if the idle poll is another poller's."""
        announce(store)
        found = grant(store, Wish("resize", "celery", 0, 1, idle=1))
        assert (found.polls, found.refused) == ([0], [PollRefusal.COVERED])
        found = grant(store, MANY, poller="p2")
        assert (found.polls, found.refused) == ([0], [PollRefusal.COVERED])
        store.run(store.claims.withdraw_poller("p1"))
        assert grant(store, MANY, poller="p2").polls == [5]

    def test_fifty_activities_on_two_slots_are_all_polled(self, store):
        """They are polled a few at a time, as the polls before them become idle."""
        announce(store, slots=2)
        idle: set[int] = set()
        rounds = 0
        while len(idle) < 50:
            rounds += 1
            wishes = [Wish(f"a{n}", "celery", 0, 1, idle=int(n in idle)) for n in range(50)]
            polls = grant(store, *wishes).polls
            assert 1 <= sum(polls) <= 3
            idle |= {n for n in range(50) if polls[n]}
        assert rounds == 17

    def test_without_room_no_poll_is_granted(self, store):
        announce(store, slots=1)
        runs(store, "token-1")
        store.claim("token-2")
        found = grant(store, OTHER)
        assert (found.polls, found.refused) == ([0], [PollRefusal.NO_ROOM])

    def test_pollers_share_the_room(self, store):
        announce(store, slots=8)
        grant(store, Wish("resize", "celery", 0, 0), poller="p2")
        found = grant(store, MANY)
        assert (found.polls, found.refused) == ([5], [PollRefusal.SHARE])


class TestRoomByTime:
    """4 slots: 5 by count; 8 s of short work may wait, in claims of 0.53 s at least."""

    def test_four_short_jobs_may_wait_for_each_slot(self, store):
        announce(store)
        run_one(store, "token-0")
        assert grant(store, MANY).polls == [15 + 5]

    def test_the_room_for_short_jobs_is_measured_in_time(self, store):
        announce(store)
        run_one(store, "token-0", lasts_s=1.2)
        assert 5 < grant(store, MANY).polls[0] <= 6 + 5

    def test_one_long_run_among_the_last_twenty_makes_an_activity_long(self, store):
        announce(store)
        run_one(store, "token-long", lasts_s=2.1)
        for n in range(19):
            run_one(store, f"token-{n}")
            assert grant(store, MANY).polls == [5]
        run_one(store, "token-19")
        assert grant(store, MANY).polls == [20]

    def test_a_long_run_makes_an_activity_long_before_it_ends(self, store):
        announce(store)
        run_one(store, "token-0")
        runs(store, "token-1")
        assert grant(store, MANY).polls[0] > 5
        wait_until(lambda: (announce(store), grant(store, MANY).polls == [4])[1])

    def test_slots_of_long_jobs_give_no_room_by_time(self, store):
        announce(store)
        run_one(store, "token-0")
        for n in range(3):
            runs(store, f"long-{n}", activity="long")
        assert grant(store, MANY).polls == [3 + 2]  # one slot, and 5 − 3 by count

    def test_short_jobs_keep_no_long_job_out(self, store):
        announce(store)
        run_one(store, "token-0")
        for n in range(4):
            runs(store, f"token-r{n}")
        for n in range(16):
            store.claim(f"token-w{n}")
        assert store.reader.room("resize", "celery").charged == 16
        assert grant(store, OTHER, MANY).polls == [1, 0]

    def test_the_runs_of_an_activity_are_forgotten_after_an_hour_without_one(self, store, valkey):
        announce(store)
        run_one(store, "token-0")
        assert store.status().longest_s is not None
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            lasted = f"{store.settings.root_key}:lasted"
            longest, at, *rest = client.hget(lasted, "resize").split()
            client.hset(lasted, "resize", " ".join([longest, str(int(at) - 3_600_000), *rest]))
        assert grant(store, MANY).polls == [5]
        assert store.status().longest_s is None
        assert store.reader.room("resize", "celery").longest_s is None

    def test_there_is_no_room_by_time_where_it_is_switched_off(self, store, monkeypatch):
        announce(store)
        run_one(store, "token-0")
        monkeypatch.setattr(
            store.claims, "_settings", store.settings.model_copy(update={"look_ahead_s": 0.0})
        )
        assert grant(store, MANY).polls == [5]


class TestFit:
    """Which worker takes which claim is found for all of them together."""

    def test_a_worker_of_both_queues_takes_what_the_other_cannot(self, store):
        announce(store, "w1", slots=4, queues=["a", "b"])
        announce(store, "w2", slots=4, queues=["b"])
        for n in range(5):
            store.claim(f"token-{n}", activity="b", queue="b")
        assert grant(store, Wish("a", "a", 0, 50)).polls == [5]

    def test_room_is_found_through_a_chain_of_workers(self, store):
        """A claim of a fits only if b's moves to w2, and c's to w3."""
        for worker, queues in ("w1", "ab"), ("w2", "bc"), ("w3", "c"):
            announce(store, worker, slots=4, queues=[*queues])
        for queue in "bc":
            for n in range(5):
                store.claim(f"{queue}-{n}", activity=queue, queue=queue)
        assert grant(store, Wish("a", "a", 0, 50)).polls == [5]

    def test_claims_beyond_the_room_of_their_workers_take_no_room_of_others(self, store):
        announce(store, "w1", slots=1, queues=["a"])
        announce(store, "w2", slots=4, queues=["b"])
        for n in range(9):
            store.claim(f"token-{n}", activity="a", queue="a")
        assert grant(store, Wish("b", "b", 0, 50), Wish("a", "a", 0, 50)).polls == [5, 0]


def test_read_room_answers_as_a_grant_would(store):
    """It changes nothing."""
    announce(store, ordinary=1)
    runs(store, "token-1")
    store.claim("token-2")
    before = store.all_keys()
    room = store.reader.room("other", "celery")
    assert (room.refusal, room.slots, room.offered, room.used) == (PollRefusal.NONE, 4, 3, 1)
    assert (room.waiting_room, room.charged, room.workers) == (3, 1, 1)
    assert store.reader.room("other", "elsewhere").refusal is PollRefusal.NO_WORKER
    assert store.all_keys() == before
    assert grant(store, OTHER).polls == [2]
