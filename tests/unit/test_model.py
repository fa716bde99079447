"""Claims, jobs and outcomes."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils import json as kombu_json

from bridge.model import Claim, Job, Outcome, claim_id_of, cut, unpack


def test_a_claim_id_is_a_digest():
    assert claim_id_of("secret token") == claim_id_of("secret token")
    assert len(claim_id_of("x")) == 24
    assert "secret" not in claim_id_of("secret token")


def test_a_job_id_names_claim_and_attempt():
    job = Job(claim_id_of("t"), 2)
    assert Job.parse(job.id) == job


CLAIM = "0123456789abcdef01234567"
NO_JOBS = [
    *("", "b7d5a0a4-4f7c-4d9a-8d0a-0a0a0a0a0a0a", "bridge-xyz-1", f"bridge-{CLAIM}"),
    *(f"bridge-{CLAIM}-0", f"bridge-{CLAIM}-1\n", f"bridge-{CLAIM}-01", f"bridge-{CLAIM}--1"),
    *(f"bridge-{CLAIM}-1.0", f"bridge-{CLAIM}-1e3", f"bridge-{CLAIM}-٣", f" bridge-{CLAIM}-1"),
    *(f"bridge-{CLAIM}-" + "9" * 10, f"bridge-{CLAIM}-" + "9" * 5_000),  # no attempt of ours
    *(f"BRIDGE-{CLAIM}-1", f"bridge-{CLAIM.upper()}-1", f"bridge-{CLAIM}0-1"),
    *(None, 7, 0, 1.5, True, uuid.uuid4(), [], [f"bridge-{CLAIM}-1"], {}, (), object()),
    f"bridge-{CLAIM}-1".encode(),
]


@pytest.mark.parametrize("task_id", NO_JOBS, ids=lambda task_id: type(task_id).__name__)
def test_other_task_ids_are_no_jobs(task_id):
    """Whatever another program calls a task."""
    assert Job.parse(task_id) is None
    assert Job.of_headers({"id": task_id, "task": "jobs.echo"}, {"jobs.echo"}) is None


class Text(str):
    """A string of a library's own."""

    __slots__ = ()

    def __str__(self):
        return "not what it holds"


def test_a_string_of_another_class_is_read_by_what_it_holds():
    assert Job.parse(Text(f"bridge-{CLAIM}-2")) == Job(CLAIM, 2)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        ["id"],
        "id",
        7,
        {},
        {"task": "jobs.echo"},
        {"id": f"bridge-{CLAIM}-1"},
        {"id": f"bridge-{CLAIM}-1", "task": "shop.mail"},
        {"id": f"bridge-{CLAIM}-1", "task": None},
        {"id": f"bridge-{CLAIM}-1", "task": ["jobs.echo"]},
        {"id": f"bridge-{CLAIM}-1", "task": {}},
    ],
    ids=repr,
)
def test_what_is_not_surely_a_job_is_none(headers):
    """The id of a job is not enough: its task must be an activity."""
    assert Job.of_headers(headers, frozenset({"jobs.echo"})) is None


def test_a_job_is_known_by_id_and_task():
    headers = {"id": f"bridge-{CLAIM}-1", "task": "jobs.echo"}
    assert Job.of_headers(headers, frozenset({"jobs.echo"})) == Job(CLAIM, 1)


@given(st.text(), st.integers(0, 40))
def test_cut_keeps_whole_code_points_within_utf16_units(text, limit):
    text = text.encode("utf-8", "replace").decode()
    short = cut(text, limit)
    assert text.startswith(short)
    assert len(short.encode("utf-16-le")) // 2 <= limit
    rest = text[len(short) :]
    if rest:
        assert len((short + rest[0]).encode("utf-16-le")) // 2 > limit


def test_a_lone_surrogate_is_replaced():
    assert cut("a\ud800b", 10) == "a?b"


@pytest.mark.parametrize(
    "outcome", [Outcome(output="null"), Outcome(output='"+-"'), Outcome.failure("E", "ä 💥")]
)
def test_an_outcome_survives_the_store(outcome):
    assert Outcome.load(outcome.dump()) == outcome


def test_a_failure_is_cut_to_what_aws_takes():
    outcome = Outcome.failure("e" * 300, "💥" * 40_000)
    assert len(outcome.error) == 256
    assert len(outcome.cause) == 16_384


@pytest.mark.parametrize(
    ("event", "packed"),
    [
        ('{"a": [1, {"b": null}]}', False),
        ('{"snake__case": "\\u00e9"}', False),
        ('{"__type__": "datetime", "__value__": 1}', True),
        ('[{"deep": {"\\u005f_type__": 1}}]', True),
        ('{"__bridge_json__": "{}"}', True),
    ],
)
def test_an_input_travels_unharmed(event, packed):
    """Through kombu's JSON, which takes some objects for its own."""
    argument = Claim("0" * 24, "a", event).argument
    assert (argument == {"__bridge_json__": event}) is packed
    assert unpack(kombu_json.loads(kombu_json.dumps(argument))) == json.loads(event)
