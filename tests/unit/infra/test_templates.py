"""Every template passes cfn-lint, for few and for many activities, and stays within the quotas."""

import json

import cfnlint.api
import pytest
import yaml
from cfnlint.config import ManualArgs

from bridge.infra.activities import activities
from bridge.infra.alarms import alarms
from bridge.infra.dashboard import dashboard
from bridge.infra.ecs import ecs
from bridge.infra.fleet import Fleet
from bridge.infra.limits import check_template
from bridge.infra.render import render
from tests.unit.infra.helpers import names

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/worker:1.0"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MAKERS = [activities, ecs, alarms, dashboard]
PLAIN = {}
FULL = {
    "region": "eu-west-1",
    "account": "123456789012",
    "image": IMAGE,
    "kms_key_arn": KEY,
    "tags": {"Team": "media"},
    "dimensions": {"App": "shop"},
    "existing_vpc": True,
}


def findings(template):
    text = render(template, "yaml")
    return cfnlint.api.lint(text, config=ManualArgs(regions=["us-east-1", "eu-west-1"]))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("options", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_cfn_lint_finds_nothing(make, options, count):
    fleet = Fleet.of(names(count), **options)
    template = check_template(make(fleet), activities=count)
    assert findings(template) == []


def test_cfn_lint_would_find_something():
    template = activities(Fleet.of(["a"]))
    template["Resources"]["ActivityA"]["Properties"]["Colour"] = "red"
    assert findings(template)


@pytest.mark.parametrize("make", [activities, alarms, dashboard], ids=lambda make: make.__name__)
def test_cfn_lint_finds_nothing_with_odd_names_and_arns(make):
    given = [
        "a_b",
        "a-b",
        "A-B",
        *(f"arn:aws:states:us-east-{n}:210987654321:activity:x" for n in "12"),
    ]
    assert findings(make(Fleet.of(given))) == []


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_yaml_and_json_have_the_same_content(make):
    template = make(Fleet.of(names(3)))
    assert yaml.safe_load(render(template, "yaml")) == json.loads(render(template, "json"))
