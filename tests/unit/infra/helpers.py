"""Names of activities for fleets of any size."""

from __future__ import annotations


def names(count):
    return [f"task-{number}" for number in range(count)]
