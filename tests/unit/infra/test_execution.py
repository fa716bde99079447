"""The image of ``ecs``, and the role that fetches it."""

import pytest

from bridge.errors import SettingsError
from bridge.infra.ecs import ecs
from bridge.infra.fleet import Fleet
from tests.unit.infra.ecs_template import (
    MADE,
)


class TestImage:
    def test_only_the_repository_of_the_image_can_be_pulled(self):
        assert MADE["Parameters"]["RepositoryArn"]["Default"] == (
            "arn:aws:ecr:eu-west-1:123456789012:repository/team/worker"
        )

    @pytest.mark.parametrize(
        ("region", "host", "partition"),
        [
            ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
            ("us-iso-east-1", "c2s.ic.gov", "aws-iso"),
            ("eusc-de-east-1", "amazonaws.eu", "aws-eusc"),
        ],
    )
    def test_a_repository_in_another_partition(self, region, host, partition):
        image = f"123456789012.dkr.ecr.{region}.{host}/team/worker:1.0"
        parameters = ecs(Fleet.of(["a"], image=image))["Parameters"]
        assert parameters["RepositoryArn"]["Default"] == (
            f"arn:{partition}:ecr:{region}:123456789012:repository/team/worker"
        )

    def test_the_image_is_a_required_parameter_when_it_is_not_given(self):
        parameters = ecs(Fleet.of(["a"]))["Parameters"]
        assert "Default" not in parameters["Image"]
        assert "Default" not in parameters["RepositoryArn"]

    def test_a_registry_that_cannot_be_reached_is_refused(self):
        with pytest.raises(SettingsError, match="not in ECR"):
            ecs(Fleet.of(["a"], image="docker.io/library/python:3.13"))
