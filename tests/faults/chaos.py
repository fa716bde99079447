"""``make chaos``: kill processes and cut links at random, and count what was lost.

A fleet as in production (two pollers, three workers, beat) runs a steady stream of mixed jobs. One
fault after another, drawn from a seed, befalls it; a supervisor starts again what was killed, as
systemd would. At the end every execution must have ended as its definition says.

An execution counts as touched by a fault when it was running while the fault was on. Recovery is
how long after the end of the fault the last of them ended, less the time its job takes. It has a
bound, which the next fault extends by its own if it comes before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey
from tests.acceptance.deployment import Deployment, Process
from tests.faults.http_proxy import HttpProxy, answer, hang, lose_answer, reset_before
from tests.faults.proxy import Proxy

HEARTBEAT_SECONDS = 10
REPORTS = ("SendTaskSuccess", "SendTaskFailure", "SendTaskHeartbeat")
SETTLE_S = 60.0
"""How long the last executions may take after the last fault."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of execution: its job, its input, how it has to end."""

    job: str
    event: dict[str, Any]
    status: str
    retry: bool = True


KINDS = [
    Kind("echo", {}, "SUCCEEDED"),
    Kind("sleep", {"seconds": 1.0}, "SUCCEEDED"),
    Kind("sleep", {"seconds": 4.0}, "SUCCEEDED"),
    Kind("safe", {"seconds": 1.0}, "SUCCEEDED"),
    Kind("safe", {"seconds": 3.0}, "SUCCEEDED"),
    Kind("retry", {"failures": 2, "countdown": 1}, "SUCCEEDED"),
    Kind("endings", {"how": "activity-error"}, "FAILED", retry=False),
]


@dataclass
class Execution:
    """One execution, as chaos sees it."""

    arn: str
    kind: Kind
    started: float
    ended: float = 0.0
    status: str = ""

    @property
    def lost(self) -> bool:
        return self.status != self.kind.status


@dataclass
class Injected:
    """One fault that befell the fleet, and the executions that it touched."""

    name: str
    begun: float
    over: float = 0.0
    touched: list[Execution] = field(default_factory=list)

    @property
    def recovery_s(self) -> float:
        """From its end to the end of the last execution that it touched, less its job's time."""
        ends = [e.ended - float(e.kind.event.get("seconds", 0)) for e in self.touched if e.ended]
        return max(0.0, max(ends, default=0.0) - self.over)


class Fleet:
    """The processes, and a supervisor that starts again what has ended."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        worker = partial(deployment.worker, concurrency=4)
        self.starts: dict[str, Callable[..., Process]] = {
            "poller 1": deployment.poller,
            "poller 2": deployment.poller,
            "worker 1": worker,
            "worker 2": worker,
            "worker 3": partial(worker, "--pool", "threads"),
            "beat": deployment.beat,
        }
        self.running = {name: start() for name, start in self.starts.items()}
        self.restarts = 0
        self.unexpected: list[str] = []
        self._lock = threading.Lock()

    def kill(self, name: str) -> None:
        """kill -9, then start it again."""
        with self._lock:
            self.running[name].kill()
            self._restart(name)

    def supervise(self) -> None:
        """Start again what ended by itself; it should not have."""
        with self._lock:
            for name, process in self.running.items():
                if not process.alive:
                    self.unexpected.append(name)
                    self._restart(name)

    def _restart(self, name: str) -> None:
        self.restarts += 1
        # Not waited for: while a server is away, nothing gets ready.
        self.running[name] = self.starts[name](wait=False)


class Chaos:
    """The faults, each with its bound: seconds from its end to the last touched execution's."""

    def __init__(
        self, fleet: Fleet, redis: Proxy, sfn: HttpProxy, valkey: LocalValkey, draw: random.Random
    ) -> None:
        self.fleet, self.redis, self.sfn, self.valkey, self.draw = fleet, redis, sfn, valkey, draw
        self.starter = ThreadPoolExecutor(1)
        # After a kill: Celery's 5 s or the lease of 3 s, a sweep, a Retry's second and a start. A
        # poller may take a token with it, which HeartbeatSeconds brings back, and leave polls that
        # swallow the next one.
        lost_token_s = 2 * HEARTBEAT_SECONDS + 20.0
        self.faults: dict[str, tuple[Callable[[], None], float]] = {
            "kill -9 worker": (self._kill("worker"), 20.0),
            "kill -9 child": (self._kill_child, 20.0),
            "kill -9 poller": (self._kill("poller"), lost_token_s),
            "kill -9 beat": (self._kill("beat"), 15.0),
            "Step Functions 5xx": (self._rule(answer(500, "InternalFailure", "sorry")), 25.0),
            "Step Functions resets": (self._rule(reset_before), 25.0),
            "Step Functions hangs": (self._rule(hang), 30.0),
            "Step Functions loses answers": (self._rule(lose_answer), 25.0),
            "Step Functions throttles": (self._throttle, 25.0),
            "Step Functions away": (self._sfn_away, lost_token_s),
            "Redis cut": (self._cut, lost_token_s),
            "Redis away": (self._redis_away, lost_token_s),
            "Redis half-open": (self._half_open, lost_token_s),
            "Redis killed": (self._redis_killed, lost_token_s),
        }

    def _kill(self, prefix: str) -> Callable[[], None]:
        def kill() -> None:
            names = [name for name in self.fleet.starts if name.startswith(prefix)]
            self.fleet.kill(self.draw.choice(names))

        return kill

    def _kill_child(self) -> None:
        pids = {
            int(run.pid)
            for kind in ("sleep", "safe")
            for run in self.fleet.deployment.seen(kind)[-4:]
        }
        parents = {process.popen.pid for process in self.fleet.running.values()}
        for pid in self.draw.sample(sorted(pids - parents), k=min(1, len(pids - parents))):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _rule(self, action: Any) -> Callable[[], None]:
        def fault() -> None:
            for operation in REPORTS:
                self.sfn.rule(action, operation=operation)
            time.sleep(5)
            self.sfn.heal()

        return fault

    def _throttle(self) -> None:
        limit = self.sfn.throttle(10, burst=10)
        time.sleep(6)
        limit.remove()

    def _sfn_away(self) -> None:
        self.sfn.refuse()
        time.sleep(5)
        self.sfn.heal()

    def _cut(self) -> None:
        for _ in range(5):
            self.redis.cut()
            time.sleep(self.draw.random())

    def _redis_away(self) -> None:
        self.redis.refuse()
        time.sleep(6)
        self.redis.heal()

    def _half_open(self) -> None:
        self.redis.freeze()
        time.sleep(6)
        self.redis.heal()

    def _redis_killed(self) -> None:
        self.valkey.kill()
        time.sleep(2)
        self.valkey.start()


def machines_of(deployment: Deployment) -> dict[Kind, str]:
    """A state machine for each kind of execution."""
    retry = [
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 5, "BackoffRate": 1.0}
    ]
    return {
        kind: deployment.one_state(
            kind.job,
            HeartbeatSeconds=HEARTBEAT_SECONDS,
            TimeoutSeconds=110,
            Retry=retry
            if kind.retry
            else [
                {
                    "ErrorEquals": ["Bridge.WorkerLost", "States.Timeout"],
                    "IntervalSeconds": 1,
                    "MaxAttempts": 5,
                    "BackoffRate": 1.0,
                }
            ],
        )
        for kind in KINDS
    }


class Load:
    """A steady stream of executions, and a watch on their ends."""

    def __init__(self, deployment: Deployment, draw: random.Random) -> None:
        self.deployment, self.draw = deployment, draw
        self.machines = machines_of(deployment)
        self.executions: list[Execution] = []

    def start(self) -> None:
        """Start one, of a random kind."""
        kind = self.draw.choice(KINDS)
        number = len(self.executions)
        arn = self.deployment.execute(self.machines[kind], id=str(number), **kind.event)
        self.executions.append(Execution(arn, kind, time.time()))

    def running(self) -> list[Execution]:
        return [e for e in self.executions if not e.status]

    def look(self) -> None:
        """Note which have ended."""
        open_ones = self.running()
        with ThreadPoolExecutor(4) as pool:
            describe = self.deployment.sfn.describe_execution
            found = pool.map(lambda e: describe(executionArn=e.arn), open_ones)
            for execution, description in zip(open_ones, found, strict=True):
                if description["status"] != "RUNNING":
                    execution.status = description["status"]
                    execution.ended = description["stopDate"].timestamp()


def doubled(load: Load, sfn: HttpProxy) -> list[str]:
    """Claims of which two outcomes were taken, and executions that a job succeeded for twice."""
    taken = Counter(
        call.claim_id for call in sfn.calls if call.operation in REPORTS[:2] and call.status == 200
    )
    found = [f"claim {claim_id}" for claim_id, times in taken.items() if times > 1]
    for execution in load.executions:
        history = load.deployment.history(execution.arn)
        if sum(event["type"] == "ActivitySucceeded" for event in history) > 1:
            found.append(execution.arn)
    return found


def run(args: argparse.Namespace, say: Callable[[str], None], tick: Callable[[int, str], None]):
    """The whole of it; what happened, as data."""
    draw = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with (
        LocalStepFunctions(hold_s=20) as stepfunctions,
        LocalValkey(data_dir=folder / "valkey") as valkey,
        Proxy("127.0.0.1", valkey.port) as redis,
    ):
        host, port = stepfunctions.url.removeprefix("http://").split(":")
        with HttpProxy(host, int(port)) as sfn:
            deployment = Deployment(
                folder,
                valkey=valkey,
                stepfunctions_url=stepfunctions.url,
                CELERY_BROKER_URL=redis.url("redis") + "/0",
                AWS_ENDPOINT_URL_SFN=sfn.url(),
                JOBS_ONLY="echo sleep safe retry endings",
            )
            try:
                deployment.create_activities()
                say("starting two pollers, three workers and a beat process")
                fleet = Fleet(deployment)
                chaos = Chaos(fleet, redis, sfn, valkey, draw)
                load = Load(deployment, draw)
                injected = torment(args, chaos, load, fleet, tick)
                in_flight = deployment.status()["totals"]["in_flight"]
                twice = doubled(load, sfn)
            finally:
                deployment.stop()
    return summary(args, chaos, load, injected, fleet, twice, in_flight), folder


def torment(
    args: argparse.Namespace,
    chaos: Chaos,
    load: Load,
    fleet: Fleet,
    tick: Callable[[int, str], None],
) -> list[Injected]:
    """Start executions and inject faults until the time is over; then let all come to an end."""
    injected: list[Injected] = []
    names: list[str] = []
    stop = threading.Event()
    duration_s = args.minutes * 60 - SETTLE_S

    def inject() -> None:
        while not stop.wait(draw_pause()):
            if not names:  # each kind once before any comes again
                names.extend(chaos.draw.sample(sorted(chaos.faults), len(chaos.faults)))
            fault = Injected(names.pop(), time.time())
            injected.append(fault)
            chaos.faults[fault.name][0]()
            fault.over = time.time()

    def draw_pause() -> float:
        return chaos.draw.uniform(2.0, 5.0)

    # Of one thread that lives to the end: what a thread has started is killed when it ends
    # (``die_with_parent``).
    injecting = chaos.starter.submit(inject)
    begun = time.monotonic()
    every_s = duration_s / args.executions
    while len(load.executions) < args.executions:
        behind = (time.monotonic() - begun) / every_s - len(load.executions)
        for _ in range(min(20, int(behind))):
            load.start()
        load.look()
        fleet.supervise()
        tick(
            sum(bool(e.status) for e in load.executions),
            injected[-1].name if injected else "warming up",
        )
        time.sleep(0.5)
    stop.set()
    injecting.result()
    deadline = time.monotonic() + SETTLE_S + HEARTBEAT_SECONDS
    while load.running() and time.monotonic() < deadline:
        load.look()
        fleet.supervise()
        tick(sum(bool(e.status) for e in load.executions), "letting all end")
        time.sleep(0.5)
    time.sleep(1)
    for fault in injected:
        fault.touched = [
            e
            for e in load.executions
            if e.started < fault.over and (not e.ended or e.ended > fault.begun)
        ]
    return injected


def allowed_s(fault: Injected, injected: list[Injected], chaos: Chaos) -> float:
    """Its bound; longer, if what it touched was touched again before that."""
    until = fault.over + chaos.faults[fault.name][1]
    for later in injected[injected.index(fault) + 1 :]:
        if later.begun > until:
            break
        until = max(until, later.over + chaos.faults[later.name][1])
    return until - fault.over


def summary(
    args: argparse.Namespace,
    chaos: Chaos,
    load: Load,
    injected: list[Injected],
    fleet: Fleet,
    twice: list[str],
    in_flight: int,
) -> dict[str, Any]:
    """What is printed; ``ok`` decides the exit status."""
    by_name = defaultdict(list)
    for fault in injected:
        by_name[fault.name].append(fault)
    rows = []
    for name, faults in sorted(by_name.items()):
        recoveries = [fault.recovery_s for fault in faults]
        touched = [e for fault in faults for e in fault.touched]
        rows.append(
            {
                "fault": name,
                "injected": len(faults),
                "touched": len(touched),
                "lost": sum(e.lost for e in touched),
                "recovery_p50_s": round(statistics.median(recoveries), 1),
                "recovery_max_s": round(max(recoveries), 1),
                "bound_s": chaos.faults[name][1],
                "late": any(f.recovery_s > allowed_s(f, injected, chaos) for f in faults),
            }
        )
    lost = [e.arn for e in load.executions if e.lost]
    late = sorted({row["fault"] for row in rows if row["late"]})
    return {
        "seed": args.seed,
        "executions": len(load.executions),
        "faults": rows,
        "lost": lost,
        "doubled": twice,
        "bounds_broken": late,
        "claims_left": in_flight,
        "restarts": fleet.restarts,
        "ended_by_themselves": fleet.unexpected,
        "ok": not (lost or twice or late or in_flight or fleet.unexpected),
    }


def show(found: dict[str, Any], console: Console) -> None:
    """The table for people."""
    table = Table(title=f"{found['executions']} executions, seed {found['seed']}")
    for heading in ("fault", "times", "touched", "lost", "recovery p50", "max", "bound"):
        table.add_column(heading, justify="left" if heading == "fault" else "right", no_wrap=True)
    for row in found["faults"]:
        late = row["late"]
        table.add_row(
            row["fault"],
            str(row["injected"]),
            str(row["touched"]),
            str(row["lost"]),
            f"{row['recovery_p50_s']} s",
            f"{row['recovery_max_s']} s" + (" !" if late else ""),
            f"{row['bound_s']:.0f} s",
        )
    console.print(table)
    for name in ("lost", "doubled", "bounds_broken", "ended_by_themselves"):
        console.print(f"{name.replace('_', ' ')}: {len(found[name])}", *found[name][:10])
    console.print(
        f"claims left: {found['claims_left']}, processes started again: {found['restarts']}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos ARGS=…", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="the whole run, about")
    parser.add_argument("--seed", type=int, default=None, help="which faults, and when")
    parser.add_argument("--executions", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.minutes * 60 < 2 * SETTLE_S:
        parser.error(f"--minutes: at least {2 * SETTLE_S / 60:g}; the last of them is for the end")
    if args.executions < 1:
        parser.error("--executions: at least 1")
    args.seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    console = Console(stderr=True)
    paper = Console() if sys.stdout.isatty() else Console(width=110)
    with Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} ended"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        bar = progress.add_task("starting", total=args.executions)
        found, folder = run(
            args,
            lambda text: progress.update(bar, description=text),
            lambda done, text: progress.update(bar, completed=done, description=text),
        )
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, paper)
    if not found["ok"]:
        console.print(f"logs: {folder}; the same faults again: --seed {args.seed}")
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
