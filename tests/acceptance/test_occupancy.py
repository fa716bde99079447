"""Workers announce changes of their slots and queues, and what occupies the slots.

A lease of a minute is renewed every 20 s; a change is announced sooner.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest
from celery import Celery

from bridge.settings import Settings
from bridge.store import StatusReader, WorkerStatus
from tests.acceptance.deployment import Deployment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

WITHIN_S = 12.0
"""How long an announcement may take; it takes 2 s on an idle machine."""


class Fleet:
    """Workers, with what they announce and their remote control."""

    def __init__(self, deployment: Deployment):
        self.deployment = deployment
        url = deployment.valkey.url
        self.app = Celery(broker=url, set_as_current=False)
        self.reader = StatusReader(Settings(store_url=url, store_prefix=deployment.prefix))

    def close(self) -> None:
        self.reader.close()
        self.app.close()

    def node(self, number: int) -> str:
        return f"w{number}-{self.deployment.prefix}@{socket.gethostname()}"

    def seen(self, number: int) -> WorkerStatus | None:
        node = self.node(number)
        found = self.reader.read([]).workers
        return next((w for w in found if w.worker.startswith(f"{node}#")), None)

    def control(self, number: int, command: str, **arguments: object) -> None:
        [answer] = self.app.control.broadcast(
            command,
            arguments=arguments,
            destination=[self.node(number)],
            reply=True,
            timeout=30,
            limit=1,
        )
        assert "ok" in answer[self.node(number)], answer

    def announces(self, number: int, **said: object) -> None:
        def does() -> bool:
            seen = self.seen(number)
            return seen is not None and all(getattr(seen, k) == v for k, v in said.items())

        wait_until(does, timeout_s=WITHIN_S, what=f"{self.seen(number)} announces {said}")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory, local_stepfunctions, valkey) -> Iterator[Fleet]:
    """A worker of four processes, an autoscaled one, a solo one, and two of greenlets."""
    deployment = Deployment(
        tmp_path_factory.mktemp("occupancy"),
        valkey=valkey,
        stepfunctions_url=local_stepfunctions.url,
        BRIDGE_LEASE_S="60",
        BRIDGE_TASKS="jobs,occupying_tasks",
        JOBS_ONLY="echo",
    )
    made = Fleet(deployment)
    try:
        for options in ("", "--autoscale=4,1", "--pool=solo", "--pool=gevent", "--pool=eventlet"):
            deployment.worker("-Q", f"{deployment.prefix}-q", *options.split(), wait=False)
        for process in deployment.processes:
            process.says("ready.")
        yield made
    finally:
        made.close()
        for process in deployment.processes:
            process.kill()


class TestAnnounced:
    def test_slots_are_announced_at_the_start(self, fleet):
        for number, slots in ((0, 4), (1, 4), (2, 1), (3, 4), (4, 4)):
            fleet.announces(number, slots=slots, queues=(f"{fleet.deployment.prefix}-q",))

    def test_a_change_of_queues_is_announced(self, fleet):
        ours, more = f"{fleet.deployment.prefix}-q", f"{fleet.deployment.prefix}-more"
        fleet.control(0, "add_consumer", queue=more)
        fleet.announces(0, queues=(more, ours))
        fleet.control(0, "cancel_consumer", queue=ours)
        fleet.announces(0, queues=(more,))
        fleet.control(0, "cancel_consumer", queue=more)
        fleet.announces(0, queues=(), slots=4)
        fleet.control(0, "add_consumer", queue=ours)
        fleet.announces(0, queues=(ours,))
        fleet.deployment.processes[0].says(f"announces 4 slots in {ours} (was 4 slots in no queue)")

    @pytest.mark.parametrize("number", [0, 3, 4], ids=["prefork", "gevent", "eventlet"])
    def test_a_pool_announces_that_it_shrinks_and_grows(self, fleet, number):
        fleet.control(number, "pool_shrink", n=3)
        fleet.announces(number, slots=1)
        fleet.control(number, "pool_grow", n=5)
        fleet.announces(number, slots=6)

    def test_an_autoscaled_pool_announces_its_maximum(self, fleet):
        fleet.control(1, "autoscale", max=2, min=1)
        fleet.announces(1, slots=2)
        fleet.control(1, "autoscale", max=4, min=1)
        fleet.announces(1, slots=4)

    @pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["prefork", "scaled", "solo", "gevent"])
    def test_ordinary_tasks_are_announced_until_they_end(self, fleet, number, tmp_path):
        """They are announced once they have run for half a second."""
        queue = f"{fleet.deployment.prefix}-busy{number}"
        fleet.control(number, "add_consumer", queue=queue)
        count = min(2, fleet.seen(number).slots)
        for _ in range(count):
            fleet.app.send_task("occupying_tasks.ordinary", [str(tmp_path / "end")], queue=queue)
        fleet.announces(number, ordinary=count)
        (tmp_path / "end").touch()
        fleet.announces(number, ordinary=0)

    def test_a_draining_worker_announces_no_slots(self, fleet, tmp_path):
        """It still announces its ordinary task."""
        queue = f"{fleet.deployment.prefix}-busy1"
        fleet.app.send_task("occupying_tasks.ordinary", [str(tmp_path / "end")], queue=queue)
        fleet.announces(1, ordinary=1)
        fleet.deployment.processes[1].popen.terminate()
        fleet.announces(1, slots=0, ordinary=1)
        (tmp_path / "end").touch()
        fleet.deployment.processes[1].wait()


class TestRateLimit:
    def test_held_back_jobs_are_not_published_again_and_delay_no_other_activity(self, deploy):
        """One of them runs every two seconds; the other activity's jobs run at once.

        A job that is published again would use a token of the rate limit for nothing.
        """
        made = deploy(BRIDGE_TASKS="jobs,occupying_tasks", JOBS_ONLY="echo")
        made.create_activities()
        made.worker("--pool", "threads", concurrency=2)
        beat = made.beat()
        made.poller()
        machines = {kind: made.one_state(kind) for kind in ("limited", "echo")}
        limited = [made.execute(machines["limited"], id=n) for n in range(6)]
        wait_until(lambda: made.seen("limited"))
        others = [made.execute(machines["echo"], id=n) for n in range(5)]
        for execution in (*others, *limited):
            assert made.ended(execution)["status"] == "SUCCEEDED"
        began, others_began = (
            [float(run.began) for run in made.seen(kind)] for kind in ("limited", "echo")
        )
        assert len(began) == 6
        assert min(later - one for one, later in itertools.pairwise(began)) > 1
        assert max(others_began) < began[4]  # eight seconds after the first
        assert "is published anew" not in beat.output
