"""``celery -A bridge doctor``: is this deployment set up as it should be? One finding a check.

Every check asks the real thing: Step Functions is called with a token that is none, so that only
IAM can refuse it; Redis says how it is configured; the store says who is alive.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from kombu.exceptions import OperationalError

from bridge import versions
from bridge.addresses.broker import passwords_of, scheme_of
from bridge.addresses.store_url import parse
from bridge.app_state import Installation
from bridge.errors import (
    AccessDenied,
    ActivityDoesNotExist,
    ActivityMissing,
    BridgeError,
    InvalidRequest,
    SchemaMismatch,
    SettingsError,
    TokenClosed,
    app_name,
)
from bridge.registry import SYSTEM_QUEUE, undeclared
from bridge.stepfunctions import Connection, Places, StepFunctions, resolve
from bridge.store import (
    ServerInfo,
    SlotUsage,
    Status,
    StatusReader,
    WorkerStatus,
    describe_server,
)
from bridge.store.redis_errors import StoreRefusal, refusal_of
from bridge.support.backoff import RetryPolicy
from bridge.support.masking import mask_url, mask_urls, scrub

AFTER_POLL_S = 25.0
"""To store, dispatch and report what a drained poller's last poll brings."""
BROKER_TIMEOUT_S = 5.0
CLOCK_SKEW_S = 5.0
OLDEST_REDIS = (6, 2)
NO_TOKEN = "celery-stepfunctions-doctor"  # noqa: S105 (it is none)
ONCE = RetryPolicy(attempts=2, base_s=0.5, cap_s=0.5, within_s=10.0)


class Level(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        detail: What was seen.
        remedy: What to do; empty where all is well.
    """

    check: str
    level: Level
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {key: str(value) for key, value in asdict(self).items()}


def _ok(check: str, detail: str) -> Finding:
    return Finding(check, Level.OK, detail)


def _warning(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Level.WARNING, detail, remedy)


def _failure(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Level.FAILURE, detail, remedy)


def examine(bridge: Installation) -> Iterator[Finding]:
    """Look at everything, in an order in which the first failure often explains the others.

    Raises:
        SettingsError: Without settings and tasks there is nothing to look at.
    """
    registry = bridge.load_tasks()
    yield _ok("settings and tasks", f"{len(registry)} activities: {', '.join(registry)}")
    yield _versions()
    yield from optional_parts()
    yield from _activities(bridge)
    yield from _permissions(bridge)
    yield from _store(bridge)
    yield from _broker(bridge)
    yield from _time_limits(bridge)
    yield _time_to_stop(bridge)


def _versions() -> Finding:
    names = ("celery-stepfunctions", "celery", "kombu", "redis", "aiohttp", "boto3")
    said = ", ".join(f"{name} {version(name)}" for name in names)
    return _ok("versions", f"Python {platform.python_version()}, {said}")


def optional_parts() -> Iterator[Finding]:
    """What relies on the inside of Celery, kombu and redis-py, and is off with these versions."""
    off = list(versions.all_off())
    if not off:
        yield _ok("optional parts", f"all on: {', '.join(versions.PARTS)}")
    for each in off:
        check, said = f"optional part: {each.part.name}", f"off: {each.reason}"
        if each.untested:
            yield _warning(check, said, f"upgrade the bridge; until then {each.part.without}")
        else:
            yield _ok(check, f"{said}; {each.part.without}")


def _activities(bridge: Installation) -> Iterator[Finding]:
    check = "activities at Step Functions"
    try:
        arns = resolve(bridge.registry, Places(bridge.settings.roles))
    except ActivityMissing as exc:
        yield _failure(check, str(exc), f"celery -A {app_name()} activities create")
    except AccessDenied as exc:
        yield _warning(check, str(exc), "allow states:ListActivities, or register full ARNs")
    except SettingsError as exc:
        yield _failure(check, str(exc), "set what the sentence names")
    except BridgeError as exc:
        yield _failure(check, str(exc), "see the credentials, the region and the endpoint")
    else:
        yield _ok(check, ", ".join(arns.values()))


def _permissions(bridge: Installation) -> Iterator[Finding]:
    """The hot calls, as the poller and beat make them; a worker needs none of them."""
    try:
        places = Places(bridge.settings.roles)
        for place in dict.fromkeys(map(places.of, bridge.registry)):
            yield from asyncio.run(_call_each(places.connection(place), str(place)))
    except BridgeError as exc:
        yield _failure("calls to Step Functions", str(exc), "see the sentence")


async def _call_each(connection: Connection, place: str) -> list[Finding]:
    async with StepFunctions(connection) as client:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "SendTaskHeartbeat": lambda: client.send_task_heartbeat(NO_TOKEN, retry=ONCE),
            "SendTaskSuccess": lambda: client.send_task_success(NO_TOKEN, "{}", retry=ONCE),
            "SendTaskFailure": lambda: client.send_task_failure(
                NO_TOKEN, error="Doctor", cause="", retry=ONCE
            ),
        }
        return [await _call(name, place, call) for name, call in calls.items()]


async def _call(name: str, place: str, call: Callable[[], Awaitable[object]]) -> Finding:
    check = f"permission states:{name}" + (f" in {place.rstrip('/')}" if place else "")
    try:
        await call()
    except (TokenClosed, InvalidRequest, ActivityDoesNotExist):
        return _ok(check, "Step Functions has refused the token only")
    except AccessDenied as exc:
        remedy = f"allow states:{name} on * for the poller and the beat process; workers need none"
        return _failure(check, str(exc), remedy)
    except BridgeError as exc:
        return _failure(check, str(exc), "see the credentials, the region and the endpoint")
    return _warning(check, "a token that is none was taken", "is this endpoint Step Functions?")


_REMEDIES = {
    StoreRefusal.AWAY: "start Redis, or set BRIDGE_STORE_URL",
    StoreRefusal.FORBIDDEN: (
        "give the user of the store's URL the right that the sentence names, with "
        "ACL SETUSER; only workers do with fewer keys: see docs/howto/secure.md"
    ),
    StoreRefusal.FULL: "give it more memory (maxmemory), or remove what is not the bridge's",
    StoreRefusal.READ_ONLY: "name the primary in BRIDGE_STORE_URL, or mend what the sentence names",
}


def _store(bridge: Installation) -> Iterator[Finding]:
    check = "claim store"
    try:
        server = describe_server(bridge.settings)
        status = StatusReader(bridge.settings).read(list(bridge.registry))
    except SchemaMismatch as exc:
        yield _failure(check, str(exc), "do what the sentence says")
        return
    except BridgeError as exc:
        refusal = refusal_of(exc.__cause__) if isinstance(exc.__cause__, Exception) else None
        yield _failure(check, str(exc), _REMEDIES[refusal or StoreRefusal.AWAY])
        return
    version = f"version {server.version or 'unknown'}"
    yield _ok(check, f"{mask_url(bridge.settings.store_url)}, {version}")
    if not parse(bridge.settings.store_url).verified:
        yield _warning(
            "claim store's certificate",
            "it is not checked: another host could pose as Redis",
            "set ssl_cert_reqs=required, and ssl_ca_certs where its CA is your own",
        )
    yield from _server(server)
    yield from _fleet(bridge, status)


def _server(server: ServerInfo) -> Iterator[Finding]:
    number = tuple(int(part) for part in (server.version or "").split(".")[:2] if part.isdigit())
    unknown = "unknown: the server does not tell"
    if server.forbidden:
        unknown = f"unknown: the store's user may not call {' and '.join(server.forbidden)}"
    if server.version and number < OLDEST_REDIS:
        yield _failure("Redis' version", server.version, "use Redis 6.2 or newer, or Valkey")
    if server.persistent:
        yield _ok("claims survive a restart of Redis", "appendonly is on")
    elif server.replicas:
        detail = f"appendonly is off, {server.replicas} replicas"
        yield _ok("claims survive a restart of Redis", detail)
    else:
        yield _warning(
            "claims survive a restart of Redis",
            "appendonly is off" if server.persistent is False else unknown,
            "set appendonly yes (or run replicas with failover): a restart loses every claim",
        )
    if server.policy is None:
        yield _warning("maxmemory-policy", unknown, "make sure of noeviction")
    elif server.policy == "noeviction":
        yield _ok("maxmemory-policy", server.policy)
    else:
        remedy = "set maxmemory-policy noeviction: anything else drops claims and jobs silently"
        yield _failure("maxmemory-policy", server.policy, remedy)
    if server.clock_s is None:
        yield _warning("clocks", unknown, "make sure that NTP runs here and on Redis' host")
        return
    skew_s = abs(server.clock_s - time.time())
    if skew_s > CLOCK_SKEW_S:
        yield _warning(
            "clocks",
            f"this host and Redis are {skew_s:.0f} s apart",
            "run NTP: AWS refuses signatures of hosts that are minutes off",
        )
    else:
        yield _ok("clocks", f"this host and Redis are {skew_s:.1f} s apart")


def _fleet(bridge: Installation, status: Status) -> Iterator[Finding]:
    live = [worker for worker in status.workers if worker.live]
    for queue in bridge.registry.queues:
        names = [name for name, a in bridge.registry.items() if a.queue == queue]
        yield _workers(queue, names, [worker for worker in live if queue in worker.queues])
    if status.pollers:
        yield _ok("pollers", f"{len(status.pollers)} alive")
    else:
        yield _failure(
            "pollers", "none is alive: nothing is claimed", f"celery -A {app_name()} poll"
        )
    beat = f"celery -A {app_name()} worker -B -Q bridge.system --pool threads"
    age_s = status.passes.get("heartbeat")
    stale_s = max(10.0, 5 * bridge.settings.tick_s)
    if age_s is None or age_s > stale_s:
        ago = "never" if age_s is None else f"{age_s:.0f} s ago"
        yield _failure("heartbeats", f"the last pass began {ago}", beat)
    elif not any(SYSTEM_QUEUE in worker.queues for worker in live):
        yield _warning("heartbeats", "pollers send them: no beat process is alive", beat)
    else:
        yield _ok("heartbeats", f"the last pass began {age_s:.1f} s ago")
    lost = sum(row.lost for row in status.activities)
    if lost:
        yield _warning("lost claims", f"{lost} on workers that died", "they are recovered by beat")


def _workers(queue: str, activities: Sequence[str], serving: Sequence[WorkerStatus]) -> Finding:
    """Whether a worker takes jobs from a queue; that its slots are occupied is no fault."""
    check = f"workers of queue {queue}"
    found, draining = SlotUsage.of(serving), sum(worker.draining for worker in serving)
    if found.slots:
        kinds = {
            "claims": found.claims,
            "ordinary tasks": found.ordinary,
            "jobs of closed claims": found.unwanted,
        }
        occupied = [f"{kind} occupy {count}" for kind, count in kinds.items() if count]
        parts = [f"workers: {len(serving) - draining}, slots: {found.slots}", *occupied]
        parts.append(f"free: {found.free}")
        parts += [f"workers that drain: {draining}"] if draining else []
        return _ok(check, ", ".join(parts))
    said = "no live worker serves it"
    if draining:
        said = f"workers that drain and take no new job: {draining}, others: none"
    return _failure(
        check,
        f"{said}; nothing of {', '.join(activities)} is claimed",
        f"celery -A {app_name()} worker -Q {queue}",
    )


def _broker(bridge: Installation) -> Iterator[Finding]:
    app = bridge.app
    url = mask_urls(app.conf.broker_write_url)
    try:
        with app.connection_for_write(connect_timeout=BROKER_TIMEOUT_S) as connection:
            connection.ensure_connection(
                max_retries=1, interval_start=0.2, timeout=BROKER_TIMEOUT_S
            )
            transport = connection.transport.driver_type
    except (OperationalError, OSError) as exc:
        said = scrub(str(exc), passwords_of(app.conf.broker_write_url))
        yield _failure("broker", f"{url}: {said}", "start the broker, or set CELERY_BROKER_URL")
        return
    except (ImportError, KeyError, TypeError, ValueError) as exc:
        # Not its text: it may quote a part of the password.
        yield _failure(
            "broker",
            f"{url}: Celery cannot read it ({type(exc).__name__})",
            "mend the URL, broker_transport_options or broker_use_ssl",
        )
        return
    yield _ok("broker", url)
    if not app.conf.task_create_missing_queues and SYSTEM_QUEUE not in app.amqp.queues:
        yield _failure(
            f"queue {SYSTEM_QUEUE}", undeclared(SYSTEM_QUEUE), "else no beat process can start"
        )
    options: dict[str, Any] = app.conf.broker_transport_options
    if transport == "redis" and not options.get("socket_timeout"):
        yield _warning(
            "broker's socket_timeout",
            "unset: a half-open connection hangs a worker for minutes",
            'broker_transport_options = {"socket_timeout": 5, …}, see docs/celery.md',
        )
    if transport == "amqp" and not options.get("confirm_publish"):
        yield _warning(
            "broker's confirm_publish",
            "off: a job may be lost between here and RabbitMQ",
            'broker_transport_options = {"confirm_publish": True}',
        )


def _time_limits(bridge: Installation) -> Iterator[Finding]:
    """A message comes again after the visibility timeout, though its job runs."""
    options: dict[str, Any] = bridge.app.conf.broker_transport_options
    if scheme_of(bridge.app.conf.broker_read_url) not in ("redis", "rediss", "sentinel", "sqs"):
        return
    visible_s = float(options.get("visibility_timeout", 3600))
    limits = {
        name: float(activity.task.time_limit or bridge.app.conf.task_time_limit or 0)
        for name, activity in bridge.registry.items()
    }
    longer = {name: limit_s for name, limit_s in limits.items() if limit_s > visible_s}
    check = "visibility timeout"
    if longer:
        said = ", ".join(f"{name} ({limit_s:.0f} s)" for name, limit_s in longer.items())
        yield _warning(
            check,
            f"{visible_s:.0f} s, below the time limit of {said}",
            "raise visibility_timeout in broker_transport_options: such jobs are delivered again",
        )
    else:
        yield _ok(check, f"{visible_s:.0f} s")


def _time_to_stop(bridge: Installation) -> Finding:
    """No process sees when it will be killed after SIGTERM: so what each needs is said.

    A task without a limit is no fault: most end soon. So it is named, and nothing is warned of.
    """
    conf = bridge.app.conf
    poller_s = bridge.settings.poll_timeout_s + AFTER_POLL_S
    limits = {
        name: activity.task.time_limit
        or conf.task_time_limit
        or activity.task.soft_time_limit
        or conf.task_soft_time_limit
        for name, activity in bridge.registry.items()
    }
    endless = ", ".join(name for name, limit_s in limits.items() if not limit_s)
    longest_s, name = max((float(limit_s or 0), name) for name, limit_s in limits.items())
    workers = []
    if conf.worker_soft_shutdown_timeout:
        workers.append(f"{conf.worker_soft_shutdown_timeout:g} s (worker_soft_shutdown_timeout)")
    else:
        if longest_s:
            workers.append(f"{longest_s:g} s (time limit of {name})")
        if endless:
            workers.append(f"the longest job of {endless} (without a time limit)")
    return _ok(
        "time to stop",
        f"from SIGTERM to SIGKILL: poller {poller_s:g} s, or a task is lost; workers longer than "
        f"{' and '.join(workers)}",
    )
