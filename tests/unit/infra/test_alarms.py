"""The alarms of activities and of the fleet."""

from bridge.infra.alarms import alarms
from bridge.infra.fleet import Fleet

FLEET = Fleet.of(["a", "b"])
PLACED = Fleet.of(["a", "b"], region="eu-west-1", account="123456789012")


def alarms_of(fleet):
    return [each["Properties"] for each in alarms(fleet)["Resources"].values()]


class TestAlarms:
    def test_every_activity_is_watched_for_waiting_failing_and_timing_out(self):
        for activity in FLEET.activities:
            dimension = [{"Name": "ActivityArn", "Value": activity.arn}]
            found = {
                each["MetricName"]
                for each in alarms_of(FLEET)
                if each.get("Dimensions") == dimension
            }
            assert found == {
                "ActivityScheduleTime",
                "ActivitiesTimedOut",
                "ActivitiesFailed",
                "ActivitiesHeartbeatTimedOut",
            }

    def test_the_fleet_is_watched_for_lost_workers_and_a_stuck_outbox(self):
        found = {
            each["MetricName"]
            for each in alarms_of(FLEET)
            if each["Namespace"] == "StepFunctions/Activities"
        }
        assert found == {"LostWorkers", "OutboxAgeSeconds"}

    def test_waiting_is_the_slowest_hundredth(self):
        waits = [each for each in alarms_of(FLEET) if each["MetricName"] == "ActivityScheduleTime"]
        assert {each["ExtendedStatistic"] for each in waits} == {"p99"}

    def test_names_are_unique(self):
        arns = [f"arn:aws:states:us-east-{n}:210987654321:activity:a" for n in "12"]
        names = [each["AlarmName"] for each in alarms_of(Fleet.of(["a", *arns]))]
        assert len(names) == len(set(names))
