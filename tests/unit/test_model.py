"""Claims, jobs and outcomes."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize(
    "task_id", [None, "", "b7d5a0a4-4f7c-4d9a-8d0a-0a0a0a0a0a0a", "bridge-xyz-1",
                "bridge-" + "a" * 24 + "-0", "bridge-" + "a" * 24 + "-1\n"]
)  # fmt: skip
def test_other_task_ids_are_no_jobs(task_id):
    assert Job.parse(task_id) is None


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
