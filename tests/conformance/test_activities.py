"""CreateActivity, DescribeActivity, ListActivities, DeleteActivity."""

from __future__ import annotations

import datetime

import pytest

from tests.conformance.scene import refused, unique

BAD_CHARACTERS = ' \t\n\x00\x1f\x7f\x80?*<>{}[]"#%\\^|~`$&,;:/'


class TestCreateActivity:
    def test_returns_arn_and_date(self, scene):
        """A new activity has an ARN that ends in its name, and a creation date."""
        name = unique()
        answer = scene.sfn.create_activity(name=name)
        scene.new_activity(name)  # so that it is deleted after the test
        arn = answer["activityArn"].split(":")
        assert (arn[0], arn[2], arn[5:]) == ("arn", "states", ["activity", name])
        assert isinstance(answer["creationDate"], datetime.datetime)

    def test_is_idempotent(self, scene):
        """Creating an activity again returns the same ARN and date, and no error."""
        name = unique()
        scene.new_activity(name)
        first, second = (scene.sfn.create_activity(name=name) for _ in range(2))
        assert first["activityArn"] == second["activityArn"]
        assert first["creationDate"] == second["creationDate"]

    def test_a_second_time_keeps_the_waiting_tasks(self, scene):
        """Creating an activity again does not affect the tasks that wait for a worker."""
        execution = scene.start(scene.task())
        scene.event(execution, "ActivityScheduled")
        name = scene.activity.rpartition(":")[2]
        assert scene.sfn.create_activity(name=name)["activityArn"] == scene.activity
        scene.succeed(scene.token())
        assert scene.output(execution) == {}


class TestName:
    @pytest.mark.parametrize("character", BAD_CHARACTERS, ids=lambda c: f"U+{ord(c):04X}")
    @pytest.mark.parametrize("place", ["{}name", "na{}me", "name{}"])
    def test_with_a_bad_character_is_refused(self, scene, character, place):
        """White space, control characters and the listed marks are refused anywhere in a name."""
        with refused("InvalidName"):
            scene.raw.create_activity(name=place.format(character))

    def test_over_80_characters_is_refused(self, scene):
        """A name of 81 characters is refused."""
        with refused("InvalidName", "ValidationException"):
            scene.raw.create_activity(name=unique().ljust(81, "x"))

    def test_without_characters_is_refused(self, scene, departure):
        """An empty name is refused."""
        departure("moto takes an empty name; botocore refuses it before it is sent")
        with refused("InvalidName", "ValidationException"):
            scene.raw.create_activity(name="")

    @pytest.mark.parametrize("tail", ["", "-", "_", ".", "+", "=", "@", "!", "(", ")", "'"])
    def test_with_any_other_character_is_accepted(self, scene, tail):
        """All other characters are accepted, up to 80."""
        name = unique().ljust(80 - len(tail), "x") + tail
        assert len(name) == 80
        assert scene.new_activity(name).endswith(f":activity:{name}")


class TestDescribeActivity:
    def test_returns_the_same_as_create(self, scene):
        """DescribeActivity returns name, ARN and date."""
        name = scene.activity.rpartition(":")[2]
        created = scene.sfn.create_activity(name=name)
        described = scene.sfn.describe_activity(activityArn=scene.activity)
        assert described["activityArn"] == scene.activity
        assert described["name"] == name
        assert described["creationDate"] == created["creationDate"]

    def test_of_an_unknown_one_is_refused(self, scene):
        """DescribeActivity of an unknown ARN is refused with ActivityDoesNotExist."""
        with refused("ActivityDoesNotExist"):
            scene.sfn.describe_activity(activityArn=scene.activity + "-other")

    def test_with_a_malformed_arn_is_refused(self, scene):
        """DescribeActivity with a malformed ARN is refused with InvalidArn."""
        with refused("InvalidArn"):
            scene.sfn.describe_activity(activityArn="resize")


class TestDeleteActivity:
    def test_removes_it(self, scene, local_only):
        """A deleted activity is neither described nor listed."""
        scene.sfn.delete_activity(activityArn=scene.activity)
        with refused("ActivityDoesNotExist"):
            scene.sfn.describe_activity(activityArn=scene.activity)
        pages = scene.sfn.get_paginator("list_activities").paginate()
        assert scene.activity not in {a["activityArn"] for p in pages for a in p["activities"]}

    def test_of_a_missing_one_is_no_error(self, scene):
        """Deleting a deleted activity, or one that never existed, is no error."""
        for _ in range(2):
            scene.sfn.delete_activity(activityArn=scene.activity)
        scene.sfn.delete_activity(activityArn=scene.activity + "-other")

    def test_with_a_malformed_arn_is_refused(self, scene):
        """DeleteActivity with a malformed ARN is refused with InvalidArn."""
        with refused("InvalidArn"):
            scene.sfn.delete_activity(activityArn="resize")


class TestListActivities:
    def test_has_each_activity(self, scene):
        """ListActivities returns name, ARN and date of each activity."""
        pages = scene.sfn.get_paginator("list_activities").paginate()
        listed = {a["activityArn"]: a for page in pages for a in page["activities"]}
        described = scene.sfn.describe_activity(activityArn=scene.activity)
        entry = listed[scene.activity]
        assert (entry["name"], entry["creationDate"]) == (
            described["name"],
            described["creationDate"],
        )

    def test_comes_in_pages(self, scene):
        """With maxResults=2 a page has at most two; the pages together have each activity once."""
        mine = {scene.new_activity() for _ in range(5)}
        arns, token = [], None
        while True:
            request = {"maxResults": 2} | ({"nextToken": token} if token else {})
            page = scene.sfn.list_activities(**request)
            assert len(page["activities"]) <= 2
            arns += [activity["activityArn"] for activity in page["activities"]]
            token = page.get("nextToken")
            if not token:
                break
        assert mine <= set(arns)
        assert len(arns) == len(set(arns))

    def test_with_an_invented_token_is_refused(self, scene):
        """A nextToken that no page returned is refused with InvalidToken."""
        with refused("InvalidToken"):
            scene.sfn.list_activities(nextToken="made up")
