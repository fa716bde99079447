"""One run: start the fleet and the executions, inject faults, and wait until all has ended."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment
from tests.faults.chaos.executions import HEARTBEAT_SECONDS, ExecutionStream
from tests.faults.chaos.faults import Faults, Injector
from tests.faults.chaos.fleet import Fleet
from tests.faults.chaos.summary import Summary, doubled, summarize
from tests.faults.http_proxy import HttpProxy
from tests.faults.proxy import Proxy

SETTLE_S = 60.0
"""How long the last executions may take after the last fault."""

Progress = Callable[[int, str], None]
"""Called with the number of ended executions and with what is going on."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user chooses."""

    minutes: float
    seed: int
    executions: int

    @property
    def injection_s(self) -> float:
        """How long executions are started and faults injected."""
        return self.minutes * 60 - SETTLE_S


def run(options: Options, *, folder: Path, progress: Progress) -> Summary:
    """Run the whole of it.

    Args:
        folder: For logs and Valkey's data.
    """
    draw = random.Random(options.seed)
    with (
        LocalStepFunctions(hold_s=20) as local,
        LocalValkey(data_dir=folder / "valkey") as valkey,
        Proxy("127.0.0.1", valkey.port) as redis,
    ):
        host, port = local.url.removeprefix("http://").split(":")
        with HttpProxy(host, int(port)) as stepfunctions:
            deployment = Deployment(
                folder,
                valkey=valkey,
                stepfunctions_url=local.url,
                CELERY_BROKER_URL=redis.url("redis") + "/0",
                AWS_ENDPOINT_URL_SFN=stepfunctions.url(),
                JOBS_ONLY="echo sleep safe retry endings",
            )
            try:
                deployment.create_activities()
                progress(0, "starting processes")
                fleet = Fleet(deployment)
                faults = Faults(
                    fleet=fleet,
                    redis=redis,
                    stepfunctions=stepfunctions,
                    valkey=valkey,
                    draw=draw,
                )
                stream, injector = ExecutionStream(deployment, draw), Injector(faults)
                injector.start()
                start_all(
                    stream, options=options, injector=injector, fleet=fleet, progress=progress
                )
                injector.stop()
                let_all_end(stream, fleet=fleet, progress=progress)
                injector.assign(stream.executions)
                return summarize(
                    seed=options.seed,
                    executions=stream.executions,
                    injector=injector,
                    fleet=fleet,
                    claims_left=deployment.status()["totals"]["in_flight"],
                    doubled=doubled(stream, stepfunctions),
                )
            finally:
                deployment.stop()


def start_all(
    stream: ExecutionStream,
    *,
    options: Options,
    injector: Injector,
    fleet: Fleet,
    progress: Progress,
) -> None:
    """Start the executions at an even pace."""
    begun = time.monotonic()
    every_s = options.injection_s / options.executions
    while len(stream.executions) < options.executions:
        behind = (time.monotonic() - begun) / every_s - len(stream.executions)
        for _ in range(min(20, int(behind))):
            stream.start()
        stream.note_ends()
        fleet.supervise()
        progress(
            stream.ended_count, injector.injected[-1].name if injector.injected else "warming up"
        )
        time.sleep(0.5)


def let_all_end(stream: ExecutionStream, *, fleet: Fleet, progress: Progress) -> None:
    """Wait until every execution has ended, or until its time is over."""
    deadline = time.monotonic() + SETTLE_S + HEARTBEAT_SECONDS
    while stream.running() and time.monotonic() < deadline:
        stream.note_ends()
        fleet.supervise()
        progress(stream.ended_count, "letting all end")
        time.sleep(0.5)
    time.sleep(1)
