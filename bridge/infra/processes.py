"""The processes that ``ecs`` runs, each as a Fargate service: commands, roles, stop times."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.infra import network
from bridge.infra.cfn import Json, ref
from bridge.infra.fleet import Fleet

LONG_JOBS = (
    "Fargate waits at most 120 s between SIGTERM and SIGKILL. A job that takes longer is lost when "
    "a deployment or scaling in stops its worker. Declare such tasks on_lost='retry', so that they "
    "run again within their claim; or let them ask for ECS task protection while they run; or run "
    "workers on EC2 capacity, whose stopTimeout has no such limit."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that runs as an ECS service.

    Attributes:
        role: Key in ``bridge.infra.activities.ROLES``.
        group: Name of its security group.
        stop_s: Seconds between SIGTERM and SIGKILL; at most 120 on Fargate.
        count: Number of tasks; None: autoscaling decides.
        minimum_healthy_percent: During a deployment.
        maximum_percent: During a deployment.
        secrets: Environment variable → name of a secret.
        condition: The condition under which the service exists; None: always.
        env: Environment variables that other processes do not have.
    """

    name: str
    command: list[str | Json]
    role: str
    group: str
    stop_s: int
    count: Json | int | None
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    secrets: dict[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    condition: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    env: dict[str, Json | str] = field(default_factory=dict)


_BROKER = {"CELERY_BROKER_URL": "BrokerUrl"}
_AWS: dict[str, Json | str] = {"AWS_REGION": ref("AWS::Region")}
_LOG = ("--loglevel", "INFO")


def processes(fleet: Fleet) -> list[Process]:
    """Poller, worker, beat and Flower; the README says what each of them does."""
    celery = ("celery", "-A", fleet.app)
    return [_poller(celery), _worker(celery), _beat(celery), _flower(celery)]


def _poller(celery: tuple[str, ...]) -> Process:
    return Process(
        name="Poller",
        command=[*celery, "poll"],
        role="poller",
        group="PollerGroup",
        # Open polls return within 60 s: cutting one off can lose the next task.
        stop_s=90,
        count=ref("PollerCount"),
        secrets=_BROKER,
        env=_AWS,
    )


def _worker(celery: tuple[str, ...]) -> Process:
    slots = ("--concurrency", ref("WorkerConcurrency"))
    return Process(
        name="Worker",
        command=[*celery, "worker", *slots, *_LOG, "--hostname", "worker@%h"],
        role="worker",
        group="WorkerGroup",
        stop_s=120,
        count=None,
        secrets=_BROKER,
        metadata={"LongJobs": LONG_JOBS},
    )


def _beat(celery: tuple[str, ...]) -> Process:
    queue = ("-Q", "bridge.system")
    pool = ("--pool", "threads", "--concurrency", "8")
    schedule = ("--schedule", "/tmp/celerybeat-schedule")  # noqa: S108
    hostname = ("--hostname", "beat@%h")
    return Process(
        name="Beat",
        command=[*celery, "worker", "-B", *queue, *pool, *_LOG, *hostname, *schedule],
        role="beat",
        group="PollerGroup",
        stop_s=30,
        # One is enough. Two do no harm: the store gives each token to one pass only.
        count=1,
        secrets=_BROKER,
        env=_AWS,
    )


def _flower(celery: tuple[str, ...]) -> Process:
    return Process(
        name="Flower",
        command=[*celery, "flower", "--address=0.0.0.0", f"--port={network.FLOWER_PORT}"],
        role="worker",
        group="FlowerGroup",
        stop_s=30,
        count=1,
        minimum_healthy_percent=0,
        maximum_percent=100,
        secrets=_BROKER | {"FLOWER_BASIC_AUTH": "FlowerAuth"},
        ports=(network.FLOWER_PORT,),
        condition="WithFlower",
    )
