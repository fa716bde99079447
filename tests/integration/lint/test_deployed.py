"""``celery -A bridge lint`` of deployed state machines."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from click.testing import CliRunner

from bridge.lint.command import lint
from tests.fixtures_local import REGION
from tests.unit.lint.helpers import CLEAN, clean

ROLE = "arn:aws:iam::123456789012:role/states"


def run(*args):
    return CliRunner().invoke(lint, ["--no-registry", *args])


def there(definition):
    """The definition with its activity in the region of the tests' Step Functions."""
    return json.dumps(definition).replace("eu-west-1", REGION)


@pytest.fixture(autouse=True)
def environment(monkeypatch, local_stepfunctions):
    if local_stepfunctions.external:
        pytest.skip("the account has state machines of others")
    for name, value in {
        "AWS_ENDPOINT_URL_SFN": local_stepfunctions.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def deployed(sfn):
    """Create state machines; delete them after the test."""
    made = []

    def create(definition, type_="STANDARD"):
        answer = sfn.create_state_machine(
            name=f"lint-{uuid4().hex[:8]}", definition=definition, roleArn=ROLE, type=type_
        )
        made.append(answer["stateMachineArn"])
        return answer["stateMachineArn"]

    yield create
    for arn in made:
        sfn.delete_state_machine(stateMachineArn=arn)


def test_the_type_of_a_deployed_state_machine_is_known(deployed):
    express, standard = deployed(there(CLEAN), "EXPRESS"), deployed(there(CLEAN))
    result = run("--state-machine", express)
    assert result.exit_code == 1
    assert f"{express}:1 /States/Encode/Resource\n  BR009 error" in result.output
    result = run("--state-machine", standard)
    assert (result.exit_code, result.output) == (
        0,
        "0 errors, 0 warnings, 0 infos in 1 state machine\n",
    )


def test_all_lints_every_state_machine(deployed):
    wanted = {deployed(there(clean(TimeoutSeconds=...))) for _ in range(3)}
    result = run("--all", "--json")
    assert result.exit_code == 1
    found = [(each["source"], each["rule"]) for each in json.loads(result.stdout)["findings"]]
    # Other tests' state machines may be there too.
    assert [each for each in found if each[0] in wanted] == [
        (arn, "BR004") for arn in sorted(wanted, key=[one for one, _ in found].index)
    ]


def test_the_region_of_a_deployed_state_machine_is_known(deployed):
    assert "BR023" in run("--state-machine", deployed(json.dumps(CLEAN))).output


def test_a_state_machine_that_does_not_exist_is_an_error():
    arn = f"arn:aws:states:{REGION}:123456789012:stateMachine:none"
    result = run("--state-machine", arn)
    assert result.exit_code in (1, 2)
    assert "none" in result.stderr
    assert "Traceback" not in result.output
