"""The faults that are drawn at random, and how soon executions must recover from each."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bridge.local.valkey import LocalValkey
from tests.faults.chaos.executions import HEARTBEAT_SECONDS, Execution
from tests.faults.chaos.fleet import Fleet
from tests.faults.http_proxy import HttpProxy, answer, hang, lose_answer, reset_before
from tests.faults.proxy import Proxy

OUTCOMES = ("SendTaskSuccess", "SendTaskFailure")
REPORTS = (*OUTCOMES, "SendTaskHeartbeat")


@dataclass(frozen=True)
class BoundedFault:
    """What to do, and its bound: seconds from its end to the last touched execution's end."""

    cause: Callable[[], None]
    bound_s: float


@dataclass(kw_only=True)
class InjectedFault:
    """One fault that happened, and the executions that it touched; times are Unix time, seconds."""

    name: str
    begun: float
    over: float = 0.0
    touched: list[Execution] = field(default_factory=list)

    @property
    def recovery_s(self) -> float:
        """From its end to the end of the last execution that it touched, less its job's time."""
        ends = [execution.ended - execution.job_s for execution in self.touched if execution.ended]
        return max(0.0, max(ends, default=0.0) - self.over)


class Faults:
    """The faults by name. Each call blocks while its fault is on."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        redis: Proxy,
        stepfunctions: HttpProxy,
        valkey: LocalValkey,
        draw: random.Random,
    ) -> None:
        self._fleet, self._draw = fleet, draw
        self._redis, self._stepfunctions, self._valkey = redis, stepfunctions, valkey
        # After a kill: Celery's 5 s or the lease of 3 s, a recovery pass, a Retry's second and a
        # start. A killed poller may take a token with it, which HeartbeatSeconds brings back, and
        # leave open polls that swallow the next task.
        lost_token_s = 2 * HEARTBEAT_SECONDS + 20.0
        failure = answer(500, "InternalFailure", "sorry")
        self.by_name: dict[str, BoundedFault] = {
            "kill -9 worker": BoundedFault(self._kill("worker"), 20.0),
            "kill -9 child": BoundedFault(self._kill_child, 20.0),
            "kill -9 poller": BoundedFault(self._kill("poller"), lost_token_s),
            "kill -9 beat": BoundedFault(self._kill("beat"), 15.0),
            "Step Functions 5xx": BoundedFault(self._on_reports(failure), 25.0),
            "Step Functions resets": BoundedFault(self._on_reports(reset_before), 25.0),
            "Step Functions hangs": BoundedFault(self._on_reports(hang), 30.0),
            "Step Functions loses answers": BoundedFault(self._on_reports(lose_answer), 25.0),
            "Step Functions throttles": BoundedFault(self._throttle, 25.0),
            "Step Functions away": BoundedFault(self._stepfunctions_away, lost_token_s),
            "Redis cut": BoundedFault(self._cut_redis, lost_token_s),
            "Redis away": BoundedFault(self._redis_away, lost_token_s),
            "Redis half-open": BoundedFault(self._freeze_redis, lost_token_s),
            "Redis killed": BoundedFault(self._kill_redis, lost_token_s),
        }

    def shuffled(self) -> list[str]:
        """The names of all faults, in random order."""
        return self._draw.sample(sorted(self.by_name), len(self.by_name))

    def pause_s(self) -> float:
        """How long to wait before the next fault."""
        return self._draw.uniform(2.0, 5.0)

    def _kill(self, prefix: str) -> Callable[[], None]:
        def kill() -> None:
            names = [name for name in self._fleet.starts if name.startswith(prefix)]
            self._fleet.kill(self._draw.choice(names))

        return kill

    def _kill_child(self) -> None:
        pids = {
            int(run.pid)
            for kind in ("sleep", "safe")
            for run in self._fleet.deployment.seen(kind)[-4:]
        }
        parents = {process.popen.pid for process in self._fleet.running.values()}
        for pid in self._draw.sample(sorted(pids - parents), k=min(1, len(pids - parents))):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _on_reports(self, action: Any) -> Callable[[], None]:
        """A fault of five seconds on outcomes and heartbeats."""

        def fault() -> None:
            for operation in REPORTS:
                self._stepfunctions.rule(action, operation=operation)
            time.sleep(5)
            self._stepfunctions.heal()

        return fault

    def _throttle(self) -> None:
        limit = self._stepfunctions.throttle(10, burst=10)
        time.sleep(6)
        limit.remove()

    def _stepfunctions_away(self) -> None:
        self._stepfunctions.refuse()
        time.sleep(5)
        self._stepfunctions.heal()

    def _cut_redis(self) -> None:
        for _ in range(5):
            self._redis.cut()
            time.sleep(self._draw.random())

    def _redis_away(self) -> None:
        self._redis.refuse()
        time.sleep(6)
        self._redis.heal()

    def _freeze_redis(self) -> None:
        self._redis.freeze()
        time.sleep(6)
        self._redis.heal()

    def _kill_redis(self) -> None:
        self._valkey.kill()
        time.sleep(2)
        self._valkey.start()


class Injector:
    """Injects one random fault after another, in a thread, until it is stopped."""

    def __init__(self, faults: Faults) -> None:
        self.injected: list[InjectedFault] = []
        self._faults = faults
        self._stopped = threading.Event()
        # A pool that is never shut down, so that its thread lives as long as the program: a process
        # that a thread has started is killed when that thread ends (``die_with_parent``).
        self._pool = ThreadPoolExecutor(1)

    def start(self) -> None:
        self._injecting = self._pool.submit(self._inject)

    def stop(self) -> None:
        """Let the fault that is on come to its end; raises what went wrong in the thread."""
        self._stopped.set()
        self._injecting.result()

    def _inject(self) -> None:
        names: list[str] = []
        while not self._stopped.wait(self._faults.pause_s()):
            if not names:  # each fault happens once before any happens again
                names = self._faults.shuffled()
            fault = InjectedFault(name=names.pop(), begun=time.time())
            self.injected.append(fault)
            self._faults.by_name[fault.name].cause()
            fault.over = time.time()

    def assign(self, executions: list[Execution]) -> None:
        """Note which executions each fault has touched: those that ran while it was on."""
        for fault in self.injected:
            fault.touched = [
                execution
                for execution in executions
                if execution.started < fault.over
                and (not execution.ended or execution.ended > fault.begun)
            ]

    def allowed_s(self, fault: InjectedFault) -> float:
        """The fault's bound; longer, if what it touched was touched again before that."""
        until = fault.over + self._faults.by_name[fault.name].bound_s
        for later in self.injected[self.injected.index(fault) + 1 :]:
            if later.begun > until:
                break
            until = max(until, later.over + self._faults.by_name[later.name].bound_s)
        return until - fault.over

    def bound_s(self, name: str) -> float:
        """The bound of the faults of this name, when no other fault comes before it is over."""
        return self._faults.by_name[name].bound_s
