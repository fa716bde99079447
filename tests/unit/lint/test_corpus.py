"""Realistic definitions, with every finding that each should have, and its place."""

from __future__ import annotations

import pytest

from bridge.lint.files import read_file
from bridge.lint.run import Options, fix_file, lint_document
from tests.unit.lint.helpers import ACTIVITIES, CORPUS, REGION

OPTIONS = Options(activities=ACTIVITIES, region=REGION)
DEEP = "/States/Both/Branches/1/States/Each/Iterator/States/Sides/Branches/0/States/Front~1Back"
MEDIA = "/Resources/Media/Properties/Definition"
BILLING = "/Resources/Billing/Properties/DefinitionString"
CDK = "/Resources/Machine2E01/Properties/DefinitionString"
FOUND = {
    "orders.asl.json": [],
    "thumbnails.asl.json": [],
    "nested.asl.json": [("BR001", 24, DEEP)],
    "invoices.jsonata.asl.json": [],
    "mixed.asl.yaml": [
        ("BR013", 13, "/States/Encode/Retry/0"),
        ("BR019", 18, "/States/Encode/Catch/0"),
        ("BR013", 13, "/States/Review/Retry/0"),
    ],
    "polling.asl.json": [("BR024", 11, "/States/Encode/ResultPath")],
    "legacy.asl.json": [
        ("BR005", 1, ""),
        ("BR001", 4, "/States/Resize"),
        ("BR004", 4, "/States/Resize"),
        ("BR010", 4, "/States/Resize"),
        ("BR020", 6, "/States/Resize/Resource"),
        ("BR014", 7, "/States/Resize/Catch/0/ErrorEquals/0"),
        ("BR019", 7, "/States/Resize/Catch/0"),
        ("BR011", 10, "/States/Encode"),
        ("BR023", 12, "/States/Encode/Resource"),
        ("BR003", 14, "/States/Encode/HeartbeatSeconds"),
        ("BR006", 13, "/States/Encode/TimeoutSeconds"),
        ("BR007", 13, "/States/Encode/TimeoutSeconds"),
        ("BR013", 15, "/States/Encode/Retry/0"),
        ("BR022", 20, "/States/Start/Resource"),
    ],
    "media.sam.yaml": [
        ("BR001", 26, f"{MEDIA}/States/Resize"),
        ("BR013", 33, f"{MEDIA}/States/Resize/Retry/0"),
        ("BR019", 36, f"{MEDIA}/States/Resize/Catch/0"),
    ],
    "billing.cfn.yaml": [
        ("BR003", 22, f"{BILLING}/States/Invoice/HeartbeatSeconds"),
        ("BR013", 24, f"{BILLING}/States/Invoice/Retry/0"),
    ],
    "cdk.template.json": [("BR001", 8, f"{CDK}/States/Encode")],
    "express.sam.yaml": [
        ("BR009", 12, "/Resources/Fast/Properties/Definition/States/Invoice/Resource")
    ],
    "distributed.asl.json": [("BR009", 17, "/States/Bucket/ItemProcessor/States/Resize/Resource")],
    "described.json": [("BR023", 5, "/definition/States/Invoice/Resource")],
    "lambdas.asl.json": [],
}


def found(report):
    return {(each.rule.id, each.line, each.pointer) for each in report.findings}


@pytest.mark.parametrize("name", FOUND)
def test_every_planted_fault_is_found_and_nothing_else(name):
    report = lint_document(read_file(CORPUS / name), OPTIONS)
    assert found(report) == set(FOUND[name])
    assert len(report.findings) == len(FOUND[name])
    assert report.state_machines == 1


def test_every_file_of_the_corpus_has_expectations():
    assert {each.name for each in CORPUS.iterdir()} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_fixing_leaves_what_a_person_must_decide_and_is_idempotent(name, tmp_path):
    path = tmp_path / name
    path.write_bytes((CORPUS / name).read_bytes())
    before = lint_document(read_file(path), OPTIONS)
    after = fix_file(path, OPTIONS)
    text = path.read_bytes()
    kept = [each for each in before.findings if each.addition is None]
    assert {(each.rule.id, each.pointer) for each in after.findings} == {
        (each.rule.id, each.pointer) for each in kept
    }
    assert after.fixed == len(before.findings) - len(kept)
    again = fix_file(path, OPTIONS)
    assert again.fixed == 0
    assert path.read_bytes() == text
