"""Every grant of polls against the ledger's rules in plain Python, on fleets made at random."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from bridge.local.valkey import LocalValkey
from bridge.store import PollRefusal, Wish
from tests.model.false_clock import on_a_false_clock
from tests.model.fleet import Announced, Fleet, Stores
from tests.model.ledger import Grants, Lane, Polls, placed

pytestmark = pytest.mark.timeout(600)
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "60"))
QUEUES = ("q1", "q2", "q3", "q4", "q5")
POLLERS = ("p1", "p2", "p3")
DURATIONS = {
    "unknown": [],
    "instant": [0.001],
    "brief": [0.05, 0.02],
    "just short": [0.25],
    "long": [2.0],
    "varied": [0.01, 1.0, 0.01],
}
"""Kind of activity → how long its runs lasted."""
BOUNDS = (
    {},
    {"look_ahead": 1.0},
    {"look_ahead": 2.0, "look_ahead_s": 1.0, "look_ahead_most": 8.0},
    {"look_ahead": 1.0, "look_ahead_s": 0.0},
)

examples = partial(
    settings,
    deadline=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def stores():
    """A store of each kind of bounds, all in one Valkey."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch("bridge.store.scripts.script", on_a_false_clock))
        valkey = stack.enter_context(LocalValkey())
        made = [Stores(store_url=valkey.url, **bounds) for bounds in BOUNDS]
        for each in made:
            stack.callback(each.close)
        yield made


@dataclass(frozen=True)
class Event:
    """Something that happens to a claim of a lane, and for how long nothing else does."""

    fate: str
    lane: Lane
    worker: str
    pause_s: float


FATES = {
    "waits": 6,
    "runs": 6,
    "runs though closed": 2,
    "waits for a retry": 2,
    "waits again": 1,
    "is held back": 2,
    "is settled": 1,
    "is closed": 1,
    "is closed while it waits": 1,
    "is closed while it is held back": 1,
    "is closed while it waits for a retry": 1,
    "started, though held back": 1,
}
"""What becomes of a claim, and how often."""


@dataclass(frozen=True)
class Scene:
    """A fleet, what it has done, and what its pollers have open."""

    bounds: int
    kinds: dict[Lane, str]
    first: dict[str, Announced]
    """Workers as they join."""
    events: list[Event]
    then: dict[str, Announced | None]
    """What they announce in the end; None: they leave."""
    polls: dict[str, dict[Lane, Polls]]
    brought: list[tuple[str, Lane]]
    """Poller, and what one of its polls brings."""
    throttled: bool
    wants: dict[Lane, int]
    places: dict[Lane, str]
    pause_s: float


@st.composite
def scenes(draw: Callable) -> Scene:
    queues = QUEUES[: draw(st.integers(1, 5))]
    some_queues = st.frozensets(st.sampled_from(queues), min_size=1, max_size=3)
    lanes = [Lane(f"a{n}", draw(st.sampled_from(queues))) for n in range(draw(st.integers(1, 6)))]
    workers = [f"w{n}" for n in range(draw(st.integers(1, 6)))]
    slots = st.sampled_from([1, 2, 2, 4, 4, 8, 0])
    announcement = st.builds(Announced, slots, some_queues, st.sampled_from([0, 0, 0, 1, 4]))
    first = {worker: draw(announcement) for worker in workers}
    fates = [fate for fate, times in FATES.items() for _ in range(times)]
    events = draw(
        st.lists(
            st.builds(
                Event,
                st.sampled_from(fates),
                st.sampled_from(lanes),
                st.sampled_from(workers),
                st.sampled_from([0.0, 0.0, 0.01, 0.3]),
            ),
            max_size=14,
        )
    )
    changes = st.one_of(st.none(), announcement)
    then = draw(st.dictionaries(st.sampled_from(workers), changes, max_size=2))
    few = st.sampled_from([0, 0, 0, 1, 2, 5])
    pollers = POLLERS[: draw(st.integers(1, 3))]
    polls = {
        poller: draw(st.dictionaries(st.sampled_from(lanes), st.builds(Polls, few, few)))
        for poller in pollers
    }
    brought = draw(
        st.lists(st.tuples(st.sampled_from(pollers), st.sampled_from(lanes)), max_size=3)
    )
    return Scene(
        bounds=draw(st.integers(0, len(BOUNDS) - 1)),
        kinds={lane: draw(st.sampled_from(sorted(DURATIONS))) for lane in lanes},
        first=first,
        events=events,
        then=then,
        polls=polls,
        brought=brought,
        throttled=draw(st.sampled_from([False] * 7 + [True])),
        wants={lane: draw(st.sampled_from([1, 1, 2, 5, 40])) for lane in lanes},
        places={lane: draw(st.sampled_from(["", "", "eu/1"])) for lane in lanes},
        pause_s=draw(st.sampled_from([0.0, 0.2, 0.6, 3601.0])),
    )


def play(scene: Scene, stores: list[Stores]) -> Fleet:
    fleet = Fleet(stores[scene.bounds])
    remember(fleet, scene.kinds)
    fleet.move(scene.pause_s)
    for name, worker in scene.first.items():
        fleet.renew(name, worker)
    for event in scene.events:
        happen(fleet, event)
        fleet.move(event.pause_s)
    for name, worker in scene.then.items():
        if worker is None:
            fleet.leave(name)
        else:
            fleet.renew(name, worker)
    for poller, lanes in scene.polls.items():
        fleet.ask(
            poller, [Wish(*lane, polls.fresh, 0, polls.idle) for lane, polls in lanes.items()]
        )
    for poller, lane in scene.brought:
        fleet.store([lane], poller=poller)
    if scene.throttled:
        fleet.throttle("eu/1")
    return fleet


def remember(fleet: Fleet, kinds: dict[Lane, str]) -> None:
    """Let each activity run as often, and for as long, as one of its kind has."""
    fleet.renew("w", Announced(10, frozenset(QUEUES)))
    for lane, kind in kinds.items():
        claims = fleet.store([lane] * len(DURATIONS[kind]))
        for claim, lasts_s in zip(claims, DURATIONS[kind], strict=True):
            fleet.start(claim, "w")
            fleet.move(lasts_s)
            fleet.settle(claim)
        fleet.close(claims)
    fleet.leave("w")


def happen(fleet: Fleet, event: Event) -> None:
    (claim,) = fleet.store([event.lane])
    fate, worker = event.fate, event.worker
    if "held back" in fate:
        fleet.hold_back(claim, worker)
    if (
        "runs" in fate
        or "retry" in fate
        or "start" in fate
        or fate in ("waits again", "is settled")
    ):
        fleet.start(claim, worker)
    if "retry" in fate:
        fleet.retry(claim, 10_000)
    if fate == "waits again":
        fleet.retry(claim, 0)
    if fate == "is settled":
        fleet.settle(claim)
    if "closed" in fate:
        fleet.close([claim])


def wishes_of(poller: str, fleet: Fleet, scene: Scene) -> list[Wish]:
    mine = fleet.polls.get(poller, {})
    return [
        Wish(
            *lane,
            mine.get(lane, Polls()).fresh,
            want,
            mine.get(lane, Polls()).idle,
            scene.places[lane],
        )
        for lane, want in scene.wants.items()
    ]


@examples(max_examples=EXAMPLES)
@given(scene=scenes())
def test_each_grant_is_what_the_rules_say(stores, scene):
    """Polls, and why there are no more, of each poller in turn."""
    fleet = play(scene, stores)
    for poller in scene.polls:
        wishes = wishes_of(poller, fleet, scene)
        ledger = fleet.ledger()
        note(f"{ledger}")
        expected = Grants(ledger, poller, wishes).answer()
        grant = fleet.ask(poller, wishes)
        assert (grant.polls, grant.refused) == (expected.polls, expected.refused)


@examples(max_examples=EXAMPLES // 2)
@given(scene=scenes())
def test_a_grant_exceeds_no_room_and_a_refusal_leaves_none(stores, scene):
    """Whatever order polls are granted in: each finds room, and none that would is refused.

    Of long activities: with them it is a matter of counting.
    """
    fleet = play(replace(scene, kinds=dict.fromkeys(scene.kinds, "long")), stores)
    for poller in scene.polls:
        wishes = wishes_of(poller, fleet, scene)
        fleet.ask(poller, [replace(wish, want=0) for wish in wishes])
        before = fleet.ledger()
        grant = fleet.ask(poller, wishes)
        after = fleet.ledger()
        found_room = placed(after.demand_for_long(), after.rooms())
        assert found_room - placed(before.demand_for_long(), before.rooms()) == sum(grant.polls)
        for wish, refusal in zip(wishes, grant.refused, strict=True):
            if refusal is PollRefusal.NO_ROOM:
                assert not after.fits_by_count(Lane(wish.activity, wish.queue))
            if refusal is PollRefusal.SHARE:
                assert len(scene.polls) > 1, "a poller that is alone may have all"


@examples(max_examples=EXAMPLES // 2)
@given(scene=scenes())
def test_all_activities_are_polled_where_there_is_room(stores, scene):
    """Pollers ask in turn and their polls find nothing: soon each activity has its idle poll."""
    without_polls = {poller: {} for poller in scene.polls}
    scene = replace(scene, polls=without_polls, wants=dict.fromkeys(scene.wants, 1))
    fleet = play(scene, stores)
    ledger = fleet.ledger()
    for _ in range(len(scene.wants) + 1):
        for poller in scene.polls:
            fleet.ask(poller, wishes_of(poller, fleet, scene))
        fleet.polls_become_idle()
    for lane in scene.wants:
        serving = ledger.serving(lane.queue)
        if (
            serving
            and ledger.held_back[lane.activity] < len(serving)
            and scene.places[lane] not in ledger.throttled
            and ledger.fits_by_count(lane)
        ):
            assert fleet.ledger().idle(lane.activity)


class TestWhatRandomFleetsHaveShown:
    """Each was a fault of the scripts."""

    @pytest.fixture
    def fleet(self, stores):
        return Fleet(stores[0])

    def asks(self, fleet, *wishes: Wish, poller="p1"):
        grant = fleet.ask(poller, wishes)
        return list(zip(grant.polls, grant.refused, strict=True))

    def test_short_claims_do_not_gather_behind_long_ones(self, fleet):
        """Counted for the milliseconds that they take, more would pass the room with each ask."""
        short, long = Lane("short", "q1"), Lane("long", "q1")
        remember(fleet, {short: "brief"})
        fleet.renew("w", Announced(2, frozenset({"q1"})))
        for claim in fleet.store([long, long]):
            fleet.start(claim, "w")
        assert self.asks(fleet, Wish(*short, 0, 5)) == [(1, PollRefusal.NO_ROOM)]
        assert self.asks(fleet, Wish(*short, 1, 5)) == [(0, PollRefusal.NO_ROOM)]

    def test_polls_of_short_activities_keep_no_long_one_out(self, fleet):
        """They have room of their own, by time, and a share of its own."""
        short, long = Lane("short", "q1"), Lane("long", "q1")
        remember(fleet, {short: "instant"})
        fleet.renew("w", Announced(4, frozenset({"q1"})))
        assert self.asks(fleet, Wish(*short, 0, 50)) == [(15 + 5, PollRefusal.NO_ROOM)]
        assert self.asks(fleet, Wish(*short, 20, 0), Wish(*long, 0, 1))[1] == (1, PollRefusal.NONE)

    @pytest.mark.parametrize("pollers", [1, 2])
    def test_claims_that_fit_elsewhere_leave_the_room_to_those_that_do_not(self, fleet, pollers):
        """Those that wait could go to either class; the poll's claim to one alone."""
        fleet.renew("w1", Announced(4, frozenset({"q1"})))
        fleet.renew("w2", Announced(4, frozenset({"q1", "q2"})))
        fleet.renew("w3", Announced(4, frozenset({"q2"})))
        for n in range(pollers):
            fleet.ask(f"p{n + 1}", [])
        fleet.store([Lane("either", "q2")] * 5)
        granted = [
            self.asks(fleet, Wish("one", "q1", 0, 50), poller=f"p{n + 1}")[0][0]
            for n in range(pollers)
        ]
        assert granted == ([10] if pollers == 1 else [5, 5])

    def test_a_long_poll_of_this_grant_takes_time_from_queues_near_by(self, fleet):
        """Also if its queue has no claim yet, and was looked at after the short one's."""
        short, long = Lane("short", "q1"), Lane("long", "q2")
        remember(fleet, {short: "instant"})
        fleet.renew("w1", Announced(2, frozenset({"q1", "q2"})))
        fleet.renew("w2", Announced(2, frozenset({"q2"})))
        fleet.ask("p2", [])
        (short_polls, _), _ = self.asks(fleet, Wish(*short, 0, 50), Wish(*long, 4, 0))
        assert short_polls < 4

    def test_a_second_poller_does_not_ask_what_the_first_one_finds_out(self, fleet):
        """Both polls would become idle, and the second one takes room for a minute."""
        fleet.renew("w", Announced(8, frozenset({"q1"})))
        assert self.asks(fleet, Wish("a", "q1", 0, 1)) == [(1, PollRefusal.NONE)]
        assert self.asks(fleet, Wish("a", "q1", 0, 1), poller="p2") == [(0, PollRefusal.COVERED)]
        knows_of_tasks = Wish("a", "q1", 0, 2)
        assert self.asks(fleet, knows_of_tasks, poller="p2") == [(2, PollRefusal.NONE)]

    def test_a_clock_that_goes_back_during_a_run(self, fleet):
        """By less than the store calls a doubt; what was learnt would not be read again."""
        lane = Lane("a", "q1")
        fleet.renew("w", Announced(8, frozenset({"q1"})))
        for claim in fleet.store([lane, lane]):
            fleet.start(claim, "w")
            fleet.move(-0.2)
            fleet.settle(claim)
        assert fleet.stores.redis.hget("{ledger}:lasted", "a").split()[0] == "0"
