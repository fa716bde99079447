"""Templates and policies that exceed a limit of AWS are refused."""

import pytest

from bridge.infra.activities import activities
from bridge.infra.alarms import alarms
from bridge.infra.dashboard import dashboard
from bridge.infra.fleet import Fleet, InfraError
from bridge.infra.limits import check_template
from tests.unit.infra.helpers import names


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
