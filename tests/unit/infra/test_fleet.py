"""Names, ARNs and logical IDs."""

import pytest

from bridge.errors import SettingsError
from bridge.infra.fleet import ActivityRef, Fleet
from tests.unit.addresses.partitions import PARTITIONS


class TestArn:
    def test_unknown_parts_of_an_arn_are_left_to_cloudformation(self):
        text = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:activity:resize"
        assert ActivityRef.of("resize", None, None).arn == {"Fn::Sub": text}

    def test_a_region_has_its_partition(self):
        for region, partition in PARTITIONS.items():
            arn = ActivityRef.of("resize", region, "123456789012").arn
            assert arn == f"arn:{partition}:states:{region}:123456789012:activity:resize"

    def test_a_full_arn_stays_as_it_is(self):
        arn = "arn:aws:states:us-east-1:210987654321:activity:resize"
        activity = ActivityRef.of(arn, "eu-west-1", "123456789012")
        assert (activity.arn, activity.name, activity.exists) == (arn, "resize", True)


class TestLogicalId:
    def test_plain_names_are_camel_case(self):
        assert ActivityRef("image-processing-activity").logical_id == "ImageProcessingActivity"

    def test_names_that_look_alike_stay_apart(self):
        names = ["a-b", "ab", "a_b", "a.b", "A-b", "aB", "a-1", "a1", "1a", "a--b", "-", "_", "ä-b"]
        ids = {ActivityRef(name).logical_id for name in names}
        assert len(ids) == len(names)
        assert all(each.isalnum() and each.isascii() for each in ids)

    def test_one_name_in_two_places_stays_apart(self):
        given = [
            "resize",
            *(f"arn:aws:states:us-east-{n}:210987654321:activity:resize" for n in "12"),
        ]
        assert len({each.logical_id for each in Fleet.of(given).activities}) == 3

    def test_a_logical_id_does_not_depend_on_other_activities(self):
        alone = Fleet.of(["a_b"]).activities[0].logical_id
        assert alone in {each.logical_id for each in Fleet.of(["a-b", "ab", "a_b"]).activities}


class TestFleet:
    def test_order_does_not_matter(self):
        assert Fleet.of(["b", "a"]) == Fleet.of(["a", "b", "a"])

    def test_a_fleet_needs_an_activity(self):
        with pytest.raises(SettingsError, match="--activity"):
            Fleet.of([])

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": "my fleet"},
            {"region": "Ireland"},
            {"account": "12345"},
            {"kms_key_arn": "alias/activities"},
        ],
    )
    def test_values_that_aws_would_refuse_are_refused(self, wrong):
        with pytest.raises(SettingsError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
            Fleet.of(["a"], **wrong)
