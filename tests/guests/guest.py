"""One app of ``apps/``, in a folder of its own, with the bridge or without it.

The apps are written with the bridge. What the documentation has users add ends in ``# bridge``:
without the bridge, these lines are left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bridge.local.processes import clean_environment

APPS = Path(__file__).parent / "apps"
MARK = "# bridge"


class Guest:
    """A copy of an app.

    Attributes:
        folder: The working directory of its processes.
        env: The environment of its processes.
    """

    def __init__(self, name: str, folder: Path, *, bridge: bool) -> None:
        self.folder = folder
        shutil.copytree(APPS / name, folder)
        for file in folder.rglob("*.py"):
            lines = file.read_text().splitlines(keepends=True)
            marked = [line.rstrip().endswith(MARK) for line in lines]
            kept = [
                line.replace(f"  {MARK}", "")
                for line, of_bridge in zip(lines, marked, strict=True)
                if bridge or not of_bridge
            ]
            file.write_text("".join(kept))
        self.env = clean_environment() | {"PYTHONUNBUFFERED": "1"}

    def python(self, code: str, **env: str) -> str:
        """What this code prints, run in the app's folder."""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env={**self.env, **env},
            capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout
