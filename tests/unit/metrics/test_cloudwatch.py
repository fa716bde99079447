"""PutMetricData: what is sent, in how many calls, and what happens when a call fails."""

from __future__ import annotations

import logging
import threading
import time

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import ANY, Stubber

from bridge.metrics import cloudwatch
from bridge.metrics.cloudwatch import CloudWatchMeters, Publisher, Sample, calls
from bridge.metrics.emf import of_fleet
from bridge.metrics.fleet_values import fleet_values
from bridge.store import ActivityStatus, EndedClaim, Status, WorkerStatus
from tests.waiting import wait_until

STATUS = Status(
    [
        ActivityStatus(
            "resize",
            in_flight=3,
            queued=1,
            running=2,
            outbox=0,
            lost=0,
            polls=0,
            oldest_s=1.0,
            waiting_in={"celery": 1},
        )
    ],
    [WorkerStatus("w1@host#1", 4, ("celery",), 2, 5.0)],
)


class Client:
    """Keeps what it is sent, or fails as a test asks."""

    def __init__(self):
        self.sent: list[dict] = []
        self.fault: Exception | None = None
        self.hangs = threading.Event()
        self.hangs.set()

    def put_metric_data(self, *, Namespace, MetricData):  # noqa: N803 (boto3's names)
        self.hangs.wait(10)
        if self.fault:
            raise self.fault
        assert Namespace == "StepFunctions/Activities"
        self.sent += MetricData


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def publisher(client):
    made = Publisher(lambda: client, interval_s=60)
    yield made
    client.hangs.set()
    client.fault = None
    made.close()


def sample(value=1.0, name="TasksProcessed", **dimensions):
    pairs = tuple((dimensions or {"ActivityName": "resize"}).items())
    return Sample(name, "Count", pairs, 1_700_000_040, value)


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "PutMetricData")


class TestWhatIsSent:
    def test_jobs_by_activity_and_worker_and_failures_by_name(self, client, publisher):
        meters = CloudWatchMeters(publisher)
        meters.reported(EndedClaim("resize", "w1@host#abc", "", 0.1, 2.0, 0.01), "", taken=True)
        meters.reported(EndedClaim("resize", "w1@host#def", "", 0.1, 3.0, 0.01), "Boom", taken=True)
        publisher.flush()
        found = {each["MetricName"]: each for each in client.sent}
        assert len(found) == len(client.sent) == 3
        worker = [
            {"Name": "ActivityName", "Value": "resize"},
            {"Name": "WorkerName", "Value": "w1@host"},
        ]
        times = found["TaskProcessingTime"]
        assert (times["Unit"], times["Values"], times["Counts"]) == ("Seconds", [2, 3], [1, 1])
        done = found["TasksProcessed"]
        assert (done["Unit"], done["Values"], done["Counts"]) == ("Count", [1], [2])
        assert done["Dimensions"] == times["Dimensions"] == worker
        assert found["TaskErrors"]["Dimensions"][1] == {"Name": "ErrorName", "Value": "Boom"}

    def test_a_job_that_never_ran_has_no_time(self, client, publisher):
        CloudWatchMeters(publisher).reported(
            EndedClaim("resize", "", "", None, None, 0.1), "Bridge.NotStarted", taken=True
        )
        publisher.flush()
        assert {each["MetricName"] for each in client.sent} == {"TasksProcessed", "TaskErrors"}
        assert client.sent[0]["Dimensions"][1]["Value"] == "none"

    def test_the_fleets_values_equal_those_of_the_embedded_format(self, client, publisher):
        CloudWatchMeters(publisher).fleet(STATUS)
        publisher.flush()
        expected = {
            metric.name: value
            for _, values in fleet_values(STATUS)
            for metric, value in values.items()
        }
        assert {each["MetricName"]: each["Values"][0] for each in client.sent} == expected
        assert expected["BacklogPerSlot"] == 0.75
        assert len(of_fleet(STATUS)) == 2

    @pytest.mark.parametrize(
        ("text", "sent"),
        [
            ("Über\nError", "?ber?Error"),
            (":colon", "colon"),
            ("  ", "none"),
            ("x" * 2000, "x" * 1024),
        ],
    )
    def test_a_dimension_is_what_cloudwatch_allows(self, text, sent):
        assert cloudwatch._allowed(text) == sent

    def test_botocore_accepts_the_call(self):
        """It checks calls against the service's own model."""
        real = boto3.client(
            "cloudwatch", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        publisher = Publisher(lambda: real)
        with Stubber(real) as stubber:
            expected = {"Namespace": "StepFunctions/Activities", "MetricData": ANY}
            stubber.add_response("put_metric_data", {}, expected)
            publisher._waiting.append(sample(2.5))
            assert publisher.flush()
            stubber.assert_no_pending_responses()


class TestCalls:
    def test_samples_that_differ_in_value_go_together(self):
        ((data, parts),) = calls([sample(1), sample(2), sample(1)])
        assert (data[0]["Values"], data[0]["Counts"]) == ([1, 2], [2, 1])
        assert len(parts) == 3

    def test_a_metric_has_at_most_150_values(self):
        ((data, _),) = calls([sample(float(n)) for n in range(301)])
        assert [len(each["Values"]) for each in data] == [150, 150, 1]

    def test_a_call_has_at_most_1000_metrics(self):
        made = list(calls([sample(ErrorName=f"E{n}") for n in range(2_001)]))
        assert [len(data) for data, _ in made] == [1_000, 1_000, 1]

    def test_a_call_is_below_a_megabyte(self):
        """Measured in the largest of AWS's protocols, its query protocol."""
        many = [sample(float(v), ErrorName=f"{n:0>250}") for n in range(400) for v in range(100)]
        for data, _ in calls(many):
            params = [
                f"MetricData.member.{i}.{key}.member.{j}={value}&"
                for i, each in enumerate(data)
                for key in ("Values", "Counts")
                for j, value in enumerate(each[key])
            ]
            names = sum(len(d["Value"]) + 120 for each in data for d in each["Dimensions"])
            assert sum(map(len, params)) + names + 250 * len(data) < 1_000_000

    def test_nothing_is_lost_between_calls(self):
        many = [sample(n % 7 + 0.5, ErrorName=f"E{n % 1_500}") for n in range(9_000)]
        sent = sum(sum(each["Counts"]) for data, _ in calls(many) for each in data)
        assert sent == 9_000
        assert sorted(part for _, parts in calls(many) for part in parts) == sorted(many)


class TestFaults:
    def test_what_is_not_taken_waits_and_is_logged_once_a_minute(self, client, publisher, caplog):
        client.fault = EndpointConnectionError(endpoint_url="https://monitoring")
        publisher._waiting += [sample(), sample(2.0)]
        assert not publisher.flush()
        assert not publisher.flush()
        assert caplog.text.count("CloudWatch does not take metrics") == 1
        assert len(publisher._waiting) == 2
        client.fault = None
        assert publisher.flush()
        assert sum(sum(each["Counts"]) for each in client.sent) == 2

    def test_the_oldest_are_dropped_and_counted(self, client):
        publisher = Publisher(lambda: client, max_samples=3)
        publisher._thread = threading.Thread()  # it would send them
        for n in range(10):
            publisher.add(sample(float(n)))
        assert [each.value for each in publisher._waiting] == [7, 8, 9]
        assert publisher.dropped == 7

    def test_what_is_refused_for_good_does_not_block_the_rest(self, client, publisher, caplog):
        client.fault = refusal("InvalidParameterValue", "no")
        publisher._waiting.append(sample())
        assert publisher.flush()
        assert (len(publisher._waiting), publisher.dropped) == (0, 1)
        assert "dropped" in caplog.text

    def test_without_permission_samples_wait_for_it(self, client, publisher, caplog):
        client.fault = refusal("AccessDenied", "not authorized")
        publisher._waiting.append(sample())
        assert not publisher.flush()
        assert "not authorized" in caplog.text

    def test_a_client_that_cannot_be_made_is_made_later(self, client, caplog):
        answers = [RuntimeError("no region"), client]

        def connect():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        publisher = Publisher(connect)
        publisher._waiting.append(sample())
        with caplog.at_level(logging.WARNING):
            assert not publisher.flush()
        assert publisher.flush()
        assert "no region" in caplog.text


class TestThread:
    def test_adding_does_not_wait_for_calls(self, client, publisher, monkeypatch):
        """CloudWatch hangs, and the reports that count go on."""
        monkeypatch.setattr(cloudwatch, "ENOUGH_SAMPLES", 1)
        client.hangs.clear()
        publisher.add(sample())
        wait_until(lambda: not publisher._waiting, what="the thread has taken it")
        began = time.monotonic()
        for _ in range(1_000):
            publisher.add(sample())
        assert time.monotonic() - began < 1
        client.hangs.set()

    def test_a_full_call_is_sent_at_once(self, client, publisher, monkeypatch):
        monkeypatch.setattr(cloudwatch, "ENOUGH_SAMPLES", 3)
        for _ in range(3):
            publisher.add(sample())
        wait_until(lambda: client.sent)

    def test_close_sends_what_waits(self, client, publisher):
        publisher.add(sample())
        publisher.close()
        assert client.sent
