"""The template that runs a fleet on Fargate: network, Redis, services."""

from __future__ import annotations

from bridge.infra import cache, execution, network, processes, services
from bridge.infra.cfn import Json, att, parameter, ref, sub, template
from bridge.infra.fleet import Fleet

CONCURRENCY = 4
_RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]


def ecs(fleet: Fleet) -> Json:
    """The template; it imports the roles from the stack of ``activities``."""
    return template(
        f"{fleet.name} on Fargate: poller, worker, beat, Flower, Redis. "
        f"Made by: celery -A {fleet.app} infra ecs",
        metadata={
            "Redis": {"Durability": cache.DURABILITY},
            "Workers": {"LongJobs": processes.LONG_JOBS},
        },
        parameters=_parameters(fleet),
        conditions=network.conditions(fleet),
        resources=network.resources(fleet)
        | cache.resources(fleet)
        | cache.flower_secrets(fleet)
        | services.resources(fleet),
        outputs={
            "Cluster": {"Value": ref("Cluster")},
            "WorkerService": {"Value": att("WorkerService", "Name")},
            "BrokerUrlSecret": {
                "Description": "Secret with CELERY_BROKER_URL",
                "Value": ref("BrokerUrl"),
            },
            "RedisEndpoint": {"Value": sub("${Redis.PrimaryEndPoint.Address}")},
            "FlowerPasswordSecret": {
                "Condition": "WithFlower",
                "Description": "Password of user flower",
                "Value": ref("FlowerPassword"),
            },
        },
    )


def _parameters(fleet: Fleet) -> Json:
    return {
        "ActivitiesStack": parameter(
            "Stack of the template from `infra cloudformation`, which exports the roles",
            f"{fleet.name}-activities",
        ),
        **execution.parameters(fleet),
        "TaskModules": parameter("BRIDGE_TASKS: modules with tasks, comma-separated", "tasks"),
        **network.parameters(fleet),
        **cache.parameters(),
        "Flower": parameter("Run Flower", "no", AllowedValues=["yes", "no"]),
        "PollerCount": parameter(
            "Number of pollers; with two, the fleet survives the loss of a zone", 2, MinValue=1
        ),
        "WorkerConcurrency": parameter("Slots of a worker", CONCURRENCY, MinValue=1),
        "WorkerMin": parameter(
            "Least number of workers; two survive the loss of a zone. Without workers nothing is "
            "claimed",
            2,
            MinValue=1,
        ),
        "WorkerMax": parameter("Greatest number of workers", 20, MinValue=1),
        "BacklogPerSlotTarget": parameter(
            "Target of autoscaling: occupied slots and waiting claims, divided by all slots; at 1 "
            "every slot is taken",
            0.8,
            MinValue=0.1,
            MaxValue=1.2,
        ),
        "CpuArchitecture": parameter(
            "CPU architecture of the image", "X86_64", AllowedValues=["X86_64", "ARM64"]
        ),
        "PollerCpu": parameter("CPU units of a poller", "512"),
        "PollerMemory": parameter("Memory of a poller, in MiB", "1024"),
        "WorkerCpu": parameter("CPU units of a worker", "1024"),
        "WorkerMemory": parameter("Memory of a worker, in MiB", "4096"),
        "SmallCpu": parameter("CPU units of beat, and of Flower", "256"),
        "SmallMemory": parameter("Memory of beat, and of Flower, in MiB", "1024"),
        "TmpMiB": parameter("Size of /tmp in MiB, which is part of the memory", 128, MinValue=16),
        "LogRetentionDays": parameter(
            "How many days log groups keep their lines", 30, AllowedValues=_RETENTIONS
        ),
    }
