"""Python environments with other versions of Celery; they share the other packages with ours."""

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
"""Packages whose version may differ; all others are those of our own tests."""


def environment(name: str, *wanted: str) -> Path:
    """Make an environment in which ``wanted`` is installed, once; its interpreter.

    pip chooses as it does for a user: from the bridge's own requirements and ``wanted`` together.
    Packages whose version differs from ours come first on the path.

    Args:
        name: The name of its folder in ``build/guests``.
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
        # Our packages with their .pth files: the bridge is installed by one of these.
        (site / "ours.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({library!r})\n")
        command = python.with_name("celery")
        if not command.exists():  # Celery has the wanted version already
            command.write_text(f"#!{python}\nfrom celery.__main__ import main\n\nmain()\n")
            command.chmod(0o755)
        ready.touch()
    return python


def _chosen(requirements: list[str], constraints: Iterable[str], folder: Path) -> list[str]:
    """The packages whose version pip would choose differently from what is installed here.

    Raises:
        RuntimeError: No versions satisfy all requirements; it has pip's message.
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
