"""Runs a heaviside worker; in the virtualenv of the others' packages. ``WAY ARN``.

``inline``: one process polls, runs and reports, one task after the other: heaviside's cheapest.
``manager``: heaviside's ActivityManager, which starts a process for each task.

Heaviside asks IAM for the number of the account, so it is told one; nothing else is adapted.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from heaviside.activities import Activity, ActivityManager  # type: ignore[import-not-found]

from bench.job_functions import noop

KNOWN = {"region": "us-east-1", "account_id": "123456789012"}


class Inline(Activity):  # type: ignore[misc]
    def process(self, event: dict[str, str]) -> dict[str, float]:
        return noop(event)


def inline(arn: str) -> None:
    worker = Inline(arn.rpartition(":")[2], arn=arn, **KNOWN)
    print("polls", flush=True)
    worker.run(name=arn)


class Manager(ActivityManager):  # type: ignore[misc]
    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activities = {name: noop}


def manager(arn: str) -> None:
    print("polls", flush=True)
    Manager(arn.rpartition(":")[2], **KNOWN).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    {"inline": inline, "manager": manager}[sys.argv[1]](sys.argv[2])
