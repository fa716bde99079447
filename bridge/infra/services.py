"""The resources of ``ecs`` for its processes: services, task definitions, logs, autoscaling."""

from __future__ import annotations

from bridge.infra import metrics, network
from bridge.infra.activities import ROLES
from bridge.infra.cfn import Json, ref, sub, tags
from bridge.infra.execution import execution_role
from bridge.infra.fleet import Fleet
from bridge.infra.processes import Process, processes

# ECS does not use the health check of the image. An outage of Redis does not make a process
# unhealthy: see bridge.healthcheck.
_HEALTH_CHECK: Json = {
    "Command": ["CMD", "python", "-P", "-m", "bridge.healthcheck"],
    "Interval": 60,
    "Timeout": 10,
    "Retries": 3,
    "StartPeriod": 60,
}


def resources(fleet: Fleet) -> Json:
    """Cluster, log groups, task definitions, services, and the autoscaling of the workers."""
    made: Json = {
        "Cluster": {
            "Type": "AWS::ECS::Cluster",
            "Properties": {
                "ClusterSettings": [{"Name": "containerInsights", "Value": "enabled"}],
                "Tags": tags(fleet.all_tags),
            },
        },
        "ExecutionRole": execution_role(fleet, [process.name for process in processes(fleet)]),
    }
    for process in processes(fleet):
        for kind, resource in (
            ("Logs", _logs(fleet)),
            ("Task", _task(fleet, process)),
            ("Service", _service(fleet, process)),
        ):
            only = {"Condition": process.condition} if process.condition else {}
            made[f"{process.name}{kind}"] = only | resource
    return made | _scaling(fleet)


def _logs(fleet: Fleet) -> Json:
    return {
        "Type": "AWS::Logs::LogGroup",
        # CloudFormation chooses the name: with a fixed one, the kept log group would stop the next
        # stack of this name.
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "RetentionInDays": ref("LogRetentionDays"),
            "Tags": tags(fleet.all_tags),
        },
    }


def _task(fleet: Fleet, process: Process) -> Json:
    size = process.name if process.name in ("Poller", "Worker") else "Small"
    role = sub(f"${{ActivitiesStack}}-{ROLES[process.role]}Arn")
    return {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "Family": sub(f"${{AWS::StackName}}-{process.name.lower()}"),
            "RequiresCompatibilities": ["FARGATE"],
            "NetworkMode": "awsvpc",
            "Cpu": ref(f"{size}Cpu"),
            "Memory": ref(f"{size}Memory"),
            "RuntimePlatform": {
                "CpuArchitecture": ref("CpuArchitecture"),
                "OperatingSystemFamily": "LINUX",
            },
            "ExecutionRoleArn": {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
            "TaskRoleArn": {"Fn::ImportValue": role},
            "ContainerDefinitions": [_container(process)],
            "Tags": tags(fleet.all_tags),
        },
    }


def _container(process: Process) -> Json:
    env: dict[str, Json | str] = {
        "BRIDGE_METRICS": "emf",
        "BRIDGE_TASKS": ref("TaskModules"),
        **process.env,
    }
    made: Json = {
        "Name": process.name.lower(),
        "Image": ref("Image"),
        "Essential": True,
        "Command": process.command,
        "User": "1000",
        "ReadonlyRootFilesystem": True,
        "LinuxParameters": {
            "InitProcessEnabled": True,
            "Capabilities": {"Drop": ["ALL"]},
            # The only writable folder; it is part of the task's memory. Fargate has it since 2026.
            "Tmpfs": [{"ContainerPath": "/tmp", "Size": ref("TmpMiB")}],  # noqa: S108
        },
        "HealthCheck": _HEALTH_CHECK,
        "StopTimeout": process.stop_s,
        "Environment": [{"Name": name, "Value": value} for name, value in env.items()],
        "Secrets": [
            {"Name": name, "ValueFrom": ref(secret)} for name, secret in process.secrets.items()
        ],
        "LogConfiguration": {
            "LogDriver": "awslogs",
            "Options": {
                "awslogs-group": ref(f"{process.name}Logs"),
                "awslogs-region": ref("AWS::Region"),
                "awslogs-stream-prefix": process.name.lower(),
                # Otherwise a slow CloudWatch would block a worker that writes a log line.
                "mode": "non-blocking",
                "max-buffer-size": "25m",
            },
        },
    }
    if process.ports:
        made["PortMappings"] = [{"ContainerPort": port} for port in process.ports]
    return made


def _service(fleet: Fleet, process: Process) -> Json:
    properties: Json = {
        "Cluster": ref("Cluster"),
        "LaunchType": "FARGATE",
        "TaskDefinition": ref(f"{process.name}Task"),
        "DeploymentConfiguration": {
            "MinimumHealthyPercent": process.minimum_healthy_percent,
            "MaximumPercent": process.maximum_percent,
            "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
        },
        # Rebalancing between zones would stop healthy workers.
        "AvailabilityZoneRebalancing": "DISABLED",
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "AssignPublicIp": "DISABLED",
                "SecurityGroups": [{"Fn::GetAtt": [process.group, "GroupId"]}],
                "Subnets": network.subnet_ids(fleet),
            }
        },
        "PropagateTags": "SERVICE",
        "EnableECSManagedTags": True,
        "Tags": tags(fleet.all_tags),
    }
    if process.count is not None:
        properties["DesiredCount"] = process.count
    made: Json = {"Type": "AWS::ECS::Service"}
    if needed := network.endpoint_ids(fleet):
        made["DependsOn"] = needed
    if process.metadata:
        made["Metadata"] = dict(process.metadata)
    return made | {"Properties": properties}


def _scaling(fleet: Fleet) -> Json:
    metric = {
        "Namespace": metrics.BRIDGE,
        "MetricName": metrics.BACKLOG_PER_SLOT,
        "Statistic": "Average",
    } | metrics.of_fleet(fleet)
    return {
        "WorkerTarget": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {
                "ServiceNamespace": "ecs",
                "ScalableDimension": "ecs:service:DesiredCount",
                "ResourceId": sub("service/${Cluster}/${WorkerService.Name}"),
                "MinCapacity": ref("WorkerMin"),
                "MaxCapacity": ref("WorkerMax"),
            },
        },
        "WorkerScaling": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": sub("${AWS::StackName}-backlog-per-slot"),
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": ref("WorkerTarget"),
                "TargetTrackingScalingPolicyConfiguration": {
                    "CustomizedMetricSpecification": metric,
                    "TargetValue": ref("BacklogPerSlotTarget"),
                    "ScaleOutCooldown": 60,
                    "ScaleInCooldown": 600,
                },
            },
        },
    }
