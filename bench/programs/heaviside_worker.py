"""Run a heaviside worker; arguments: ``WAY ARN``. It needs the virtualenv of ``others``.

``inline``: one process polls, runs and reports one task after the other, heaviside's cheapest way.
``manager``: heaviside's ActivityManager, which starts a process for each task.

It gets an account number, because heaviside would ask IAM for one; nothing else is adapted.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from heaviside.activities import Activity, ActivityManager  # type: ignore[import-not-found]

from bench.job_functions import noop

ACCOUNT = {"region": "us-east-1", "account_id": "123456789012"}


class Inline(Activity):  # type: ignore[misc]
    def process(self, event: dict[str, str]) -> dict[str, float]:
        return noop(event)


def inline(arn: str) -> None:
    worker = Inline(arn.rpartition(":")[2], arn=arn, **ACCOUNT)
    print("polls", flush=True)
    worker.run(name=arn)


class Manager(ActivityManager):  # type: ignore[misc]
    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activities = {name: noop}


def manager(arn: str) -> None:
    print("polls", flush=True)
    Manager(arn.rpartition(":")[2], **ACCOUNT).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    {"inline": inline, "manager": manager}[sys.argv[1]](sys.argv[2])
