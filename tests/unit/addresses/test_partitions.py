"""Partitions: botocore knows which region lies in which; every ARN is made and read with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.addresses.partitions import dns_suffix_of, partition_of
from bridge.lint import resources
from bridge.lint.deployed import region_of
from bridge.names import parse_arn
from bridge.settings import Settings
from tests.unit.addresses.partitions import PARTITIONS

ACCOUNT = "123456789012"


@pytest.mark.parametrize(("region", "partition"), PARTITIONS.items())
class TestEachPartition:
    def test_a_region_belongs_to_its_partition(self, region, partition):
        assert partition_of(region) == partition

    def test_its_activities_are_read(self, region, partition):
        arn = f"arn:{partition}:states:{region}:{ACCOUNT}:activity:resize"
        assert parse_arn(arn) == (region, ACCOUNT, "resize")
        assert resources.read(arn).kind is resources.ResourceKind.ACTIVITY

    def test_its_state_machines_are_read(self, region, partition):
        arn = f"arn:{partition}:states:{region}:{ACCOUNT}:stateMachine:order"
        assert region_of(arn) == region
        assert resources.read(arn).kind is resources.ResourceKind.MACHINE

    def test_its_roles_are_accepted(self, region, partition):
        role = f"arn:{partition}:iam::{ACCOUNT}:role/bridge"
        assert Settings(roles={ACCOUNT: role}).roles == {ACCOUNT: role}


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-north-9", "aws"), ("cn-south-7", "aws-cn"), ("us-isob-south-3", "aws-iso-b")],
)
def test_a_region_newer_than_botocore_is_known_by_its_form(region, partition):
    assert partition_of(region) == partition


@pytest.mark.parametrize("region", ["", "xx-nowhere-1", "${AWS::Region}"])
def test_an_unknown_region_is_in_the_partition_aws(region):
    assert partition_of(region) == "aws"


def test_hosts_have_the_suffix_of_their_partition():
    suffixes = {region: dns_suffix_of(region) for region in PARTITIONS}
    assert suffixes["eu-west-1"] == suffixes["us-gov-west-1"] == "amazonaws.com"
    assert suffixes["cn-north-1"] == "amazonaws.com.cn"
    assert suffixes["eusc-de-east-1"] == "amazonaws.eu"


def test_importing_the_doors_loads_no_botocore():
    code = "import bridge.statemachine, sys; print('botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
