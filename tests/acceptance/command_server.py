"""Runs commands of ``celery -A APP`` for tests, many in one process: imports take a second of CPU.

Each line of stdin is a JSON list of arguments; each line of stdout is the answer, ``{"code",
"out"}``. It is a program whose argument is APP.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

import click
from celery.bin.celery import celery


def main(app: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = run(["-A", app, *json.loads(line)])
        print(json.dumps({"code": code, "out": out.getvalue()}), file=answers, flush=True)


def run(args: list[str]) -> int:
    """The exit status of ``celery ARGS``."""
    try:
        return celery.main(args, standalone_mode=False) or 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code


if __name__ == "__main__":
    main(sys.argv[1])
