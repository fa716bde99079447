"""The dashboard."""

import json
import re

from bridge.infra.alarms import alarms
from bridge.infra.dashboard import body, dashboard
from bridge.infra.fleet import Fleet

FLEET = Fleet.of(["a", "b"])
PLACED = Fleet.of(["a", "b"], region="eu-west-1", account="123456789012")


def alarms_of(fleet):
    return [each["Properties"] for each in alarms(fleet)["Resources"].values()]


class TestDashboard:
    def test_it_has_six_widgets(self):
        titles = [widget["properties"]["title"] for widget in body(FLEET)["widgets"]]
        for wanted in (
            "Completion rate",
            "Processing time",
            "Errors by type",
            "Worker health",
            "Queue depth",
            "ActivityScheduleTime",
        ):
            assert any(title.startswith(wanted) for title in titles)

    def test_widgets_do_not_overlap(self):
        places = [(widget["x"], widget["y"]) for widget in body(FLEET)["widgets"]]
        assert len(places) == len(set(places))

    def test_ids_of_a_widget_are_unique_and_allowed(self):
        for widget in body(FLEET)["widgets"]:
            ids = [line[-1]["id"] for line in widget["properties"]["metrics"] if "id" in line[-1]]
            assert len(ids) == len(set(ids))
            assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", each) for each in ids)

    def test_it_is_json_once_cloudformation_has_filled_it_in(self):
        properties = dashboard(FLEET)["Resources"]["Dashboard"]["Properties"]
        text = properties["DashboardBody"]["Fn::Sub"]
        assert set(re.findall(r"\$\{(?!!)([^}]+)\}", text)) == {
            "AWS::Partition",
            "AWS::Region",
            "AWS::AccountId",
        }
        filled = (
            text.replace("${AWS::Partition}", "aws")
            .replace("${AWS::Region}", "eu-west-1")
            .replace("${AWS::AccountId}", "123456789012")
            .replace("${!", "${")
        )
        assert json.loads(filled) == body(PLACED)

    def test_it_is_plain_where_everything_is_known(self):
        properties = dashboard(PLACED)["Resources"]["Dashboard"]["Properties"]
        assert json.loads(properties["DashboardBody"]) == body(PLACED)
