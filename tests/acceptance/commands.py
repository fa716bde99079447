"""Runs commands of ``celery -A APP`` that tests ask for again and again, in one process.

A command of its own spends a second of CPU on imports alone. Asked on stdin, one JSON list of
arguments a line; answers ``{"code", "out"}``, one a line. Run as a program, with the app.
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
