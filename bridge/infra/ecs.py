"""The stack that runs the fleet on Fargate: network, Redis, services."""

from __future__ import annotations

from bridge.infra import cache, execution, network, services
from bridge.infra.cfn import Json, att, parameter, ref, sub, template
from bridge.infra.fleet import Fleet

CONCURRENCY = 4
_RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731]


def ecs(fleet: Fleet) -> Json:
    """Template: everything that runs; the roles come from the stack of ``activities``."""
    return template(
        f"{fleet.name} on Fargate: poller, worker, beat, Flower, Redis. "
        f"Made by: celery -A {fleet.app} infra ecs",
        metadata={
            "Redis": {"Durability": cache.DURABILITY},
            "Workers": {"LongJobs": services.LONG_JOBS},
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
            "Stack made from `infra cloudformation`, which exports the roles",
            f"{fleet.name}-activities",
        ),
        **execution.parameters(fleet),
        "TaskModules": parameter("BRIDGE_TASKS: modules with tasks, comma-separated", "tasks"),
        **network.parameters(fleet),
        **cache.parameters(),
        "Flower": parameter("Run Flower", "no", AllowedValues=["yes", "no"]),
        "PollerCount": parameter("Pollers; two survive the loss of a zone", 2, MinValue=1),
        "WorkerConcurrency": parameter("Slots of one worker", CONCURRENCY, MinValue=1),
        "WorkerMin": parameter(
            "Workers at least; two survive the loss of a zone, and with none nothing is claimed",
            2,
            MinValue=1,
        ),
        "WorkerMax": parameter("Workers at most", 20, MinValue=1),
        "BacklogPerSlotTarget": parameter(
            "Occupied slots and waiting claims, by slots, that scaling aims at; at 1 all are taken",
            0.8,
            MinValue=0.1,
            MaxValue=1.2,
        ),
        "CpuArchitecture": parameter("Of the image", "X86_64", AllowedValues=["X86_64", "ARM64"]),
        "PollerCpu": parameter("CPU units", "512"),
        "PollerMemory": parameter("MiB", "1024"),
        "WorkerCpu": parameter("CPU units", "1024"),
        "WorkerMemory": parameter("MiB", "4096"),
        "SmallCpu": parameter("CPU units of beat, and of Flower", "256"),
        "SmallMemory": parameter("MiB of beat, and of Flower", "1024"),
        "TmpMiB": parameter("Size of /tmp, in memory", 128, MinValue=16),
        "LogRetentionDays": parameter("Of every log group", 30, AllowedValues=_RETENTIONS),
    }
