"""The network of ``ecs``: private subnets without internet access, and security groups.

There is no NAT gateway. Processes reach AWS through VPC endpoints only, and only pollers and beat
reach Step Functions.
"""

from __future__ import annotations

from bridge.infra.cfn import Json, Value, choose, parameter, ref, sub, tags
from bridge.infra.fleet import Fleet
from bridge.infra.iam import REPORT

REDIS_PORT = 6379
FLOWER_PORT = 5555
# VPC endpoints for every process. Workers cannot reach the endpoint of Step Functions.
_SHARED_ENDPOINTS = {
    "Logs": "logs",
    "EcrApi": "ecr.api",
    "EcrDkr": "ecr.dkr",
    "SecretsManager": "secretsmanager",
}
_CALLERS_ENDPOINTS = {"States": "states"}
_CLIENTS = ("Poller", "Worker", "Flower")
SUBNETS = ("SubnetA", "SubnetB")
NOWHERE = [
    {
        "IpProtocol": "-1",
        "CidrIp": "127.0.0.1/32",
        "Description": "Nothing: without any rule, all traffic would be allowed",
    }
]


def parameters(fleet: Fleet) -> Json:
    """The parameters: VPC and subnets, or the range of a new VPC; and the prefix list of S3."""
    made: Json = {
        "S3PrefixListId": parameter(
            "Prefix list of S3 in this region, for image layers: "
            "aws ec2 describe-managed-prefix-lists --filters "
            "Name=prefix-list-name,Values=com.amazonaws.REGION.s3",
            AllowedPattern="^pl-[0-9a-f]+$",
        ),
        "FlowerClients": parameter(
            "Security group whose members may open Flower; empty: none",
            "",
            AllowedPattern="^(sg-[0-9a-f]+)?$",
        ),
    }
    if not fleet.existing_vpc:
        cidr = parameter("Address range of the new VPC", "10.64.0.0/20", AllowedPattern=_CIDR)
        return {"VpcCidr": cidr} | made
    return {
        "VpcId": {
            "Type": "AWS::EC2::VPC::Id",
            "Description": "VPC with DNS support and host names",
        },
        "SubnetIds": {
            "Type": "List<AWS::EC2::Subnet::Id>",
            "Description": "Private subnets, in two availability zones or more",
        },
        "RouteTableIds": {
            "Type": "CommaDelimitedList",
            "Description": "Route tables of the subnets; unused with EndpointsGroup",
            "Default": "",
        },
        "EndpointsGroup": parameter(
            "Security group of existing VPC endpoints; empty: create the endpoints",
            "",
            AllowedPattern="^(sg-[0-9a-f]+)?$",
        ),
    } | made


_CIDR = r"^\d{1,3}(\.\d{1,3}){3}/(1[6-9]|2[0-3])$"


def conditions(fleet: Fleet) -> Json:
    """The conditions: whether Flower runs and who may open it, and whether the endpoints exist."""
    made: Json = {
        "WithFlower": {"Fn::Equals": [ref("Flower"), "yes"]},
        "WithFlowerClients": {"Fn::Not": [{"Fn::Equals": [ref("FlowerClients"), ""]}]},
    }
    if fleet.existing_vpc:
        made["CreateEndpoints"] = {"Fn::Equals": [ref("EndpointsGroup"), ""]}
    return made


def vpc_id(fleet: Fleet) -> Json:
    """The VPC: the existing one, or the one of this template."""
    return ref("VpcId" if fleet.existing_vpc else "Vpc")


def subnet_ids(fleet: Fleet) -> Value | list[Json]:
    """The private subnets: the existing ones, or those of this template."""
    return ref("SubnetIds") if fleet.existing_vpc else [ref(name) for name in SUBNETS]


def endpoint_ids(fleet: Fleet) -> list[str]:
    """The endpoints that must exist before a process can start.

    Empty in an existing VPC, where a condition decides whether they are created. They exist in time
    there too, because processes wait for Redis, whose creation takes longer.
    """
    if fleet.existing_vpc:
        return []
    return [f"{name}Endpoint" for name in (*_SHARED_ENDPOINTS, *_CALLERS_ENDPOINTS, "S3")]


def resources(fleet: Fleet) -> Json:
    """VPC, subnets, security groups and VPC endpoints."""
    made: Json = {} if fleet.existing_vpc else _vpc(fleet)
    return made | _groups(fleet) | _endpoints(fleet)


def _vpc(fleet: Fleet) -> Json:
    made: Json = {
        "Vpc": {
            "Type": "AWS::EC2::VPC",
            "Properties": {
                "CidrBlock": ref("VpcCidr"),
                "EnableDnsSupport": True,
                "EnableDnsHostnames": True,
                "Tags": tags({"Name": fleet.name} | fleet.all_tags),
            },
        },
        "RouteTable": {
            "Type": "AWS::EC2::RouteTable",
            "Properties": {"VpcId": ref("Vpc"), "Tags": tags(fleet.all_tags)},
        },
    }
    for number, name in enumerate(SUBNETS):
        made[name] = {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": ref("Vpc"),
                "AvailabilityZone": {"Fn::Select": [number, {"Fn::GetAZs": ""}]},
                "CidrBlock": {"Fn::Select": [number, {"Fn::Cidr": [ref("VpcCidr"), 2, 8]}]},
                "MapPublicIpOnLaunch": False,
                "Tags": tags({"Name": f"{fleet.name}-private-{number + 1}"} | fleet.all_tags),
            },
        }
        made[f"{name}Routes"] = {
            "Type": "AWS::EC2::SubnetRouteTableAssociation",
            "Properties": {"SubnetId": ref(name), "RouteTableId": ref("RouteTable")},
        }
    return made


def _groups(fleet: Fleet) -> Json:
    made: Json = {
        "RedisGroup": _group(fleet, "Redis: from pollers, workers and Flower only", NOWHERE),
        "EndpointGroup": _group(fleet, "VPC endpoints that every task needs", NOWHERE),
        "CallerEndpointGroup": _group(fleet, "VPC endpoints for pollers and beat only", NOWHERE),
    }
    if fleet.existing_vpc:
        for name in ("EndpointGroup", "CallerEndpointGroup"):
            made[name]["Condition"] = "CreateEndpoints"
    for client in _CLIENTS:
        endpoints = ["EndpointGroup"] + ["CallerEndpointGroup"] * (client == "Poller")
        made[f"{client}Group"] = _group(
            fleet,
            f"{client} tasks" + (" and beat" if client == "Poller" else ""),
            [
                _to("RedisGroup", REDIS_PORT),
                *(_to_endpoints(fleet, endpoint) for endpoint in endpoints),
                _tcp(443)
                | {
                    "DestinationPrefixListId": ref("S3PrefixListId"),
                    "Description": "Image layers, through the S3 endpoint",
                },
            ],
        )
        made[f"{client}ToRedis"] = _from(f"{client}Group", "RedisGroup", REDIS_PORT)
        for endpoint in endpoints:
            rule = _from(f"{client}Group", endpoint, 443)
            if fleet.existing_vpc:
                rule["Condition"] = "CreateEndpoints"
            made[f"{client}To{endpoint.removesuffix('Group')}"] = rule
    clients = _from("FlowerGroup", "FlowerGroup", FLOWER_PORT)
    clients["Properties"]["SourceSecurityGroupId"] = ref("FlowerClients")
    made["ClientsToFlower"] = clients | {"Condition": "WithFlowerClients"}
    return made


def _group(fleet: Fleet, description: str, egress: list[Json]) -> Json:
    return {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {
            "GroupDescription": f"{fleet.name} - {description}",
            "VpcId": vpc_id(fleet),
            "SecurityGroupEgress": egress,
            "Tags": tags(fleet.all_tags),
        },
    }


def _tcp(port: int) -> Json:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}


def _to(group: str, port: int) -> Json:
    return _tcp(port) | {"DestinationSecurityGroupId": _id(group)}


def _to_endpoints(fleet: Fleet, group: str) -> Json:
    if not fleet.existing_vpc:
        return _to(group, 443)
    target = choose("CreateEndpoints", _id(group), ref("EndpointsGroup"))
    return _tcp(443) | {"DestinationSecurityGroupId": target}


def _from(source: str, target: str, port: int) -> Json:
    return {
        "Type": "AWS::EC2::SecurityGroupIngress",
        "Properties": {"GroupId": _id(target), **_tcp(port), "SourceSecurityGroupId": _id(source)},
    }


def _id(group: str) -> Json:
    return {"Fn::GetAtt": [group, "GroupId"]}


def _endpoints(fleet: Fleet) -> Json:
    made: Json = {}
    for services, group in (
        (_SHARED_ENDPOINTS, "EndpointGroup"),
        (_CALLERS_ENDPOINTS, "CallerEndpointGroup"),
    ):
        for name, service in services.items():
            made[f"{name}Endpoint"] = _endpoint(fleet, service)
            made[f"{name}Endpoint"]["Properties"] |= {
                "VpcEndpointType": "Interface",
                "PrivateDnsEnabled": True,
                "SubnetIds": subnet_ids(fleet),
                "SecurityGroupIds": [_id(group)],
            }
    made["S3Endpoint"] = _endpoint(fleet, "s3")
    tables = ref("RouteTableIds") if fleet.existing_vpc else [ref("RouteTable")]
    made["S3Endpoint"]["Properties"] |= {"VpcEndpointType": "Gateway", "RouteTableIds": tables}
    if not fleet.existing_vpc:  # in an existing VPC, a policy would restrict its other users
        made["StatesEndpoint"]["Properties"]["PolicyDocument"] = _states_policy(fleet)
        made["S3Endpoint"]["Properties"]["PolicyDocument"] = _s3_policy()
    return made


def _endpoint(fleet: Fleet, service: str) -> Json:
    made: Json = {"Type": "AWS::EC2::VPCEndpoint"}
    if fleet.existing_vpc:
        made["Condition"] = "CreateEndpoints"
    return made | {
        "Properties": {
            "VpcId": vpc_id(fleet),
            "ServiceName": sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
            "Tags": tags({"Name": f"{fleet.name}-{service}"} | fleet.all_tags),
        }
    }


def _states_policy(fleet: Fleet) -> Json:
    """Allow only the activities of this fleet through this endpoint."""
    arns = [activity.arn for activity in fleet.activities]
    allow: Json = {"Effect": "Allow", "Principal": "*"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            allow | {"Action": "states:GetActivityTask", "Resource": arns},
            allow | {"Action": [*REPORT, "states:ListActivities"], "Resource": "*"},
        ],
    }


def _s3_policy() -> Json:
    """Allow the bucket in which ECR keeps image layers. Add the buckets of your tasks here."""
    bucket = sub("arn:${AWS::Partition}:s3:::prod-${AWS::Region}-starport-layer-bucket/*")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": [bucket],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
