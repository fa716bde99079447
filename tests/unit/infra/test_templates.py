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
from bridge.infra.fleet import Fleet, InfraError
from bridge.infra.limits import check_template
from bridge.infra.render import render

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


def names(count):
    return [f"task-{number}" for number in range(count)]


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
def test_yaml_and_json_say_the_same(make):
    template = make(Fleet.of(names(3)))
    assert yaml.safe_load(render(template, "yaml")) == json.loads(render(template, "json"))


class TestLimits:
    def test_too_many_resources_are_refused(self):
        fleet = Fleet.of(names(130))
        with pytest.raises(InfraError, match=r"130 activities has 522 resources; .* 500"):
            check_template(alarms(fleet), activities=130)

    def test_too_many_outputs_are_refused(self):
        fleet = Fleet.of(names(200))
        with pytest.raises(InfraError, match="outputs; CloudFormation takes 200"):
            check_template(activities(fleet), activities=200)

    def test_too_many_bytes_are_refused(self):
        with pytest.raises(InfraError, match=r"1,000,0.. bytes"):
            check_template({"Description": "x" * 1_000_000}, activities=1)

    def test_too_many_lines_of_a_widget_are_refused(self):
        with pytest.raises(InfraError, match="100 activities at most"):
            dashboard(Fleet.of(names(101)))

    def test_policies_that_no_role_can_hold_are_refused(self):
        fleet = Fleet.of([f"{number:04}".ljust(80, "x") for number in range(600)])
        with pytest.raises(InfraError, match="10 at most"):
            activities(fleet)
