"""The measures: each has ``run``, which returns plain data. ``bench.goals`` has their limits."""
