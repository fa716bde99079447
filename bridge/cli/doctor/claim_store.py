"""Checks of the claim store: whether Redis answers, and whether its configuration is safe."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bridge.addresses.store_url import parse
from bridge.app_state import Installation
from bridge.cli.doctor.fleet import check_fleet
from bridge.cli.doctor.result import CheckResult, failure, ok, warning
from bridge.errors import BridgeError, SchemaMismatch
from bridge.store import ServerInfo, StatusReader, describe_server
from bridge.store.redis_errors import StoreRefusal, refusal_of
from bridge.support.masking import mask_url

CLOCK_SKEW_S = 5.0
OLDEST_REDIS = (6, 2)

_REMEDIES = {
    StoreRefusal.AWAY: "start Redis, or set BRIDGE_STORE_URL",
    StoreRefusal.FORBIDDEN: (
        "give the user of the store's URL the right that the message names, with ACL SETUSER; only "
        "workers need access to fewer keys: see docs/howto/secure.md"
    ),
    StoreRefusal.FULL: "give Redis more memory (maxmemory), or remove other programs' keys",
    StoreRefusal.READ_ONLY: "name the primary in BRIDGE_STORE_URL, or mend what the message names",
}


def check_store(bridge: Installation) -> Iterator[CheckResult]:
    """Check Redis, then the fleet, which only the claim store knows."""
    check = "claim store"
    try:
        server = describe_server(bridge.settings)
        status = StatusReader(bridge.settings).read(list(bridge.registry))
    except SchemaMismatch as exc:
        yield failure(check, str(exc), "do what the message says")
        return
    except BridgeError as exc:
        refusal = refusal_of(exc.__cause__) if isinstance(exc.__cause__, Exception) else None
        yield failure(check, str(exc), _REMEDIES[refusal or StoreRefusal.AWAY])
        return
    version = f"version {server.version or 'unknown'}"
    yield ok(check, f"{mask_url(bridge.settings.store_url)}, {version}")
    if not parse(bridge.settings.store_url).verified:
        yield warning(
            "claim store's certificate",
            "it is not verified: another host could pose as Redis",
            "set ssl_cert_reqs=required, and ssl_ca_certs if its CA is your own",
        )
    yield from _check_server(server)
    yield from check_fleet(bridge, status)


def _check_server(server: ServerInfo) -> Iterator[CheckResult]:
    unknown = "unknown: the server does not tell"
    if server.forbidden:
        unknown = f"unknown: the store's user may not call {' and '.join(server.forbidden)}"
    number = tuple(int(part) for part in (server.version or "").split(".")[:2] if part.isdigit())
    if server.version and number < OLDEST_REDIS:
        yield failure("Redis' version", server.version, "use Redis 6.2 or newer, or Valkey")
    yield _check_persistence(server, unknown)
    yield _check_eviction(server, unknown)
    yield _check_clock(server, unknown)


def _check_persistence(server: ServerInfo, unknown: str) -> CheckResult:
    check = "claims survive a restart of Redis"
    if server.persistent:
        return ok(check, "appendonly is on")
    if server.replicas:
        return ok(check, f"appendonly is off, {server.replicas} replicas")
    return warning(
        check,
        "appendonly is off" if server.persistent is False else unknown,
        "set appendonly yes, or run replicas with failover; without either, a restart loses every "
        "claim",
    )


def _check_eviction(server: ServerInfo, unknown: str) -> CheckResult:
    check = "maxmemory-policy"
    if server.policy is None:
        return warning(check, unknown, "make sure that it is noeviction")
    if server.policy == "noeviction":
        return ok(check, server.policy)
    remedy = "set maxmemory-policy noeviction: anything else drops claims and jobs silently"
    return failure(check, server.policy, remedy)


def _check_clock(server: ServerInfo, unknown: str) -> CheckResult:
    check = "clocks"
    if server.clock_s is None:
        return warning(check, unknown, "make sure that NTP runs here and on Redis' host")
    skew_s = abs(server.clock_s - time.time())
    if skew_s > CLOCK_SKEW_S:
        return warning(
            check,
            f"this host and Redis are {skew_s:.0f} s apart",
            "run NTP: AWS refuses signatures of hosts that are minutes off",
        )
    return ok(check, f"this host and Redis are {skew_s:.1f} s apart")
