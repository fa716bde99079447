"""The network of ``ecs``: subnets, security groups and VPC endpoints."""

import json

from tests.unit.infra.ecs_template import (
    EXISTING,
    FLEET,
    MADE,
    RESOURCES,
    of_type,
)


class TestNetwork:
    def test_subnets_have_no_internet_access(self):
        kinds = {resource["Type"] for resource in RESOURCES.values()}
        assert not kinds & {
            "AWS::EC2::InternetGateway",
            "AWS::EC2::NatGateway",
            "AWS::EC2::Route",
            "AWS::EC2::EIP",
        }
        assert "0.0.0.0/0" not in json.dumps(MADE)
        assert not any(
            subnet["MapPublicIpOnLaunch"] for subnet in of_type("AWS::EC2::Subnet").values()
        )

    def test_the_endpoints_are_there(self):
        services = {
            each["ServiceName"]["Fn::Sub"].removeprefix("com.amazonaws.${AWS::Region}.")
            for each in of_type("AWS::EC2::VPCEndpoint").values()
        }
        assert services == {
            "states",
            "logs",
            "ecr.api",
            "ecr.dkr",
            "s3",
            "secretsmanager",
        }

    def test_redis_lets_in_tasks_on_its_port_only(self):
        rules = [
            rule
            for rule in of_type("AWS::EC2::SecurityGroupIngress").values()
            if rule["GroupId"] == {"Fn::GetAtt": ["RedisGroup", "GroupId"]}
        ]
        assert {(rule["FromPort"], rule["ToPort"]) for rule in rules} == {(6379, 6379)}
        sources = {rule["SourceSecurityGroupId"]["Fn::GetAtt"][0] for rule in rules}
        assert sources == {"PollerGroup", "WorkerGroup", "FlowerGroup"}

    def test_every_rule_names_a_security_group(self):
        for rule in of_type("AWS::EC2::SecurityGroupIngress").values():
            assert "SourceSecurityGroupId" in rule
            assert rule["FromPort"] == rule["ToPort"]

    def test_tasks_go_to_redis_endpoints_and_image_layers_only(self):
        for name, group in of_type("AWS::EC2::SecurityGroup").items():
            for rule in group["SecurityGroupEgress"]:
                if name in ("PollerGroup", "WorkerGroup", "FlowerGroup"):
                    assert rule["FromPort"] in (6379, 443)
                    assert "CidrIp" not in rule
                else:
                    assert rule["CidrIp"] == "127.0.0.1/32"

    def test_workers_cannot_reach_step_functions(self):
        callers = {"Fn::GetAtt": ["CallerEndpointGroup", "GroupId"]}
        assert of_type("AWS::EC2::VPCEndpoint")["StatesEndpoint"]["SecurityGroupIds"] == [callers]
        for rule in of_type("AWS::EC2::SecurityGroupIngress").values():
            if rule["GroupId"] == callers:
                assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["PollerGroup", "GroupId"]}

    def test_step_functions_endpoint_serves_these_activities_only(self):
        policy = of_type("AWS::EC2::VPCEndpoint")["StatesEndpoint"]["PolicyDocument"]
        claim = policy["Statement"][0]
        assert claim["Action"] == "states:GetActivityTask"
        assert claim["Resource"] == [activity.arn for activity in FLEET.activities]

    def test_an_existing_vpc_comes_as_parameters(self):
        assert not of_type("AWS::EC2::VPC", EXISTING)
        assert not of_type("AWS::EC2::Subnet", EXISTING)
        assert {"VpcId", "SubnetIds", "EndpointsGroup"} <= set(EXISTING["Parameters"])

    def test_an_existing_vpc_is_not_bound_by_our_endpoint_policies(self):
        for endpoint in of_type("AWS::EC2::VPCEndpoint", EXISTING).values():
            assert "PolicyDocument" not in endpoint
