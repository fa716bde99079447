"""Python environments with other versions of a few packages than our own; they share the rest."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "guests"
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")

FAMILY = {"amqp", "billiard", "celery", "click", "hiredis", "kombu", "packaging", "redis", "vine"}
"""What depends on the version of Celery; the rest is as in our own tests."""


def environment(name: str, *wanted: str) -> Path:
    """The interpreter of an environment in which ``wanted`` is installed; made once.

    pip chooses as it does for a user: from the bridge's own requirements and ``wanted`` together.
    Packages whose version it chooses otherwise than ours stand in front of ours.

    Args:
        name: Of its folder in ``build/guests``.
        wanted: Requirements, such as ``"celery==5.5.*"``.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [*project["dependencies"], *wanted]
    constraints = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    said = json.dumps([requirements, constraints, sys.version])
    folder = FOLDER / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    if not ready.exists():
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        pins = _chosen(requirements, constraints, folder)
        if pins:
            _run(*PIP, "--python", str(python), "install", "--no-deps", *pins)
        library = sysconfig.get_path("purelib")
        site = next(folder.glob("lib/*/site-packages"))
        # Ours with its own .pth files, for it has the bridge by one.
        (site / "ours.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({library!r})\n")
        command = python.with_name("celery")
        if not command.exists():  # ours is of the version that is wanted
            command.write_text(f"#!{python}\nfrom celery.__main__ import main\n\nmain()\n")
            command.chmod(0o755)
        ready.touch()
    return python


def _chosen(requirements: list[str], constraints: Iterable[str], folder: Path) -> list[str]:
    """What pip would install otherwise than it is installed here.

    Raises:
        RuntimeError: No versions satisfy all requirements; pip's own words.
    """
    held = folder / "constraints.txt"
    held.write_text("".join(f"{line}\n" for line in constraints if _name(line) not in FAMILY))
    report = _run(
        *PIP,
        "install",
        "--dry-run",
        "--ignore-installed",
        "--report",
        "-",
        "--constraint",
        str(held),
        *requirements,
    )
    found = {
        item["metadata"]["name"]: item["metadata"]["version"]
        for item in json.loads(report)["install"]
    }
    return [f"{name}=={number}" for name, number in found.items() if _here(name) != number]


def _name(requirement: str) -> str:
    name = requirement
    for end in "[=<>!~ ":
        name = name.partition(end)[0]
    return name.lower()


def _here(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""


def _run(*args: str) -> str:
    done = subprocess.run(args, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args)}: {done.stderr.strip()}")
    return done.stdout
