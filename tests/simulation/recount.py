"""The sums and the schedules of the store, made anew from its claims and workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.simulation.invariants import Invariant
from tests.simulation.store_view import WAITS, Contents, StoredClaim


def wrong_sums(contents: Contents) -> Iterator[str]:
    """A sentence for each sum that differs from what claims and workers say."""
    claims, classes = contents.in_flight, _classes(contents)
    yield from _differing("tally", contents, _tally(claims))
    yield from _differing("load", contents, Counter(claim.queue for claim in claims.values()))
    yield from _differing("waiting", contents, _waiting(contents, claims))
    yield from _differing("running", contents, _running(claims, classes))
    yield from _wrong_classes(contents)


def _counts(sums: dict[str, str]) -> Counter[str]:
    return Counter({name: int(count) for name, count in sums.items() if int(count)})


def _differing(name: str, contents: Contents, counted: Counter[str]) -> Iterator[str]:
    kept = _counts(contents.hash(name))
    if kept != counted:
        yield f"the ledger's {name} says {dict(kept)}, and the claims say {dict(counted)}"


def _tally(claims: dict[str, StoredClaim]) -> Counter[str]:
    return Counter(
        f"{claim.activity}|{'queued' if claim.state in WAITS else claim.state}"
        for claim in claims.values()
    )


def _waiting(contents: Contents, claims: dict[str, StoredClaim]) -> Counter[str]:
    suspended = {*contents.zset("countdown"), *contents.hash("held_back")}
    return Counter(
        f"{claim.activity}|{claim.queue}"
        for claim_id, claim in claims.items()
        if claim.state in WAITS and claim_id not in suspended
    )


def _classes(contents: Contents) -> dict[str, str]:
    return {worker: offer.split("|", 4)[4] for worker, offer in contents.hash("offers").items()}


def _running(claims: dict[str, StoredClaim], classes: dict[str, str]) -> Counter[str]:
    return Counter(
        f"{claim.activity}|{classes.get(claim.worker, '')}"
        for claim in claims.values()
        if claim.state == "running"
    )


def wrong_places(contents: Contents) -> Iterator[tuple[Invariant, str]]:
    """Claims that are missing where the passes and the reporters look for them."""
    claims = contents.in_flight
    waits = {id_ for id_, claim in claims.items() if claim.state in WAITS}
    settled = {id_ for id_, claim in claims.items() if claim.state == "settled"}
    for invariant, name, ids in (
        (Invariant.STORED, "unstarted", waits),
        (Invariant.HEARTBEAT, "heartbeats", set(claims)),
        (Invariant.ACKNOWLEDGED, "outbox", settled),
    ):
        found = set(contents.zset(name))
        if found != ids:
            lacking, odd = sorted(ids - found), sorted(found - ids)
            yield invariant, f"{name} lacks the claims {lacking}, and has others: {odd}"
    for claim_id, claim in claims.items():
        if claim.state == "running" and claim_id not in contents.set(f"runs:{claim.worker}"):
            what = f"claim {claim_id} is not among what its worker {claim.worker} runs"
            yield Invariant.HEARTBEAT, what


def _wrong_classes(contents: Contents) -> Iterator[str]:
    """Sums of the workers of a class, and what each worker adds to them."""
    counted: Counter[str] = Counter()
    for worker, offer in contents.hash("offers").items():
        slots, ordinary, offered, used, name = offer.split("|", 4)
        if not name:
            continue
        unwanted, runs = (
            len(contents.set(f"unwanted:{worker}")),
            len(contents.set(f"runs:{worker}")),
        )
        offers = max(0, int(slots) - int(ordinary) - unwanted)
        uses = min(offers, runs)
        if (int(offered), int(used)) != (offers, uses):
            yield f"{worker} is said to offer {offered} and use {used}: it is {offers} and {uses}"
        counted += Counter({f"N|{name}": 1, f"S|{name}": int(slots)})
        counted += Counter({f"E|{name}": int(offered), f"U|{name}": int(used)})
    kept = _counts(contents.hash("classes"))
    if kept != counted:
        yield f"the ledger's classes say {dict(kept)}, and the workers say {dict(counted)}"
