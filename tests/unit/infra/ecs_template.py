"""The template of ``ecs`` for two activities, and helpers to look into it."""

from bridge.infra.ecs import ecs
from bridge.infra.fleet import Fleet

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/worker:1.0"
FLEET = Fleet.of(["a", "b"], image=IMAGE)
MADE = ecs(FLEET)
RESOURCES = MADE["Resources"]
EXISTING = ecs(Fleet.of(["a", "b"], image=IMAGE, existing_vpc=True))
PROCESSES = ("Poller", "Worker", "Beat", "Flower")


def of_type(kind, template=MADE):
    return {k: v["Properties"] for k, v in template["Resources"].items() if v["Type"] == kind}


def container(process):
    (only,) = RESOURCES[f"{process}Task"]["Properties"]["ContainerDefinitions"]
    return only
