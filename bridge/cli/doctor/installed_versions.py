"""Checks of the installed packages, and of the bridge's parts that depend on their versions."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from bridge import versions
from bridge.cli.doctor.result import CheckResult, ok, warning

PACKAGES = ("celery-stepfunctions", "celery", "kombu", "redis", "aiohttp", "boto3")


def check_versions() -> CheckResult:
    """Which versions are installed."""
    installed = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return ok("versions", f"Python {platform.python_version()}, {installed}")


def check_optional_parts() -> Iterator[CheckResult]:
    """Which parts that rely on private code of Celery, kombu and redis-py are off, and why."""
    off = list(versions.all_off())
    if not off:
        yield ok("optional parts", f"all on: {', '.join(versions.PARTS)}")
    for each in off:
        check, detail = f"optional part: {each.part.name}", f"off: {each.reason}"
        if each.untested:
            yield warning(check, detail, f"upgrade the bridge; until then {each.part.without}")
        else:
            yield ok(check, f"{detail}; {each.part.without}")
