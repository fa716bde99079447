"""The command line of ``python -m bridge.healthcheck``."""

from __future__ import annotations

import argparse
import sys
import threading

from bridge import healthcheck
from bridge.healthcheck.celery_process import ROLES
from bridge.healthcheck.verdict import Unhealthy, Unknown

DEADLINE_S = 6.0
"""Below the time-out of the container's health check, which would count as unhealthy."""


def main() -> int:
    """Check the process, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bridge.healthcheck", description=healthcheck.__doc__
    )
    parser.add_argument(
        "role",
        nargs="?",
        default="",
        choices=["", *ROLES],
        help="default: what the process's command line says",
    )
    parser.add_argument("--pid", type=int, default=1, help="default: 1, the container's first")
    options = parser.parse_args()
    answers = [(0, f"not known: no answer within {DEADLINE_S:.0f} s")]

    def ask() -> None:
        try:
            answers.append((0, "healthy: " + healthcheck.check(options.role, options.pid)))
        except Unhealthy as exc:
            answers.append((1, f"unhealthy: {exc}"))
        except Exception as exc:  # noqa: BLE001 (a failed check tells nothing about the process)
            kind = "" if isinstance(exc, Unknown) else f"{type(exc).__name__}: "
            answers.append((0, f"not known: {kind}{exc}"))

    # In a thread, because name resolution has no time-out of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    status, text = answers[-1]
    sys.stdout.write(f"{text}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
