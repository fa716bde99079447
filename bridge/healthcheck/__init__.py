"""``python -m bridge.healthcheck``: check whether a restart would help this container.

The exit status is 1 if a restart would help, else 0. The check asks what other processes see of
this one: its lease in the claim store, the passes of beat, the answer of Flower.

While the claim store does not answer, nothing is found wrong: no process is at fault then, and
restarting every worker would lose all jobs that they run.

The command starts every minute, so it loads neither Celery nor the app.
"""

from bridge.healthcheck.checks import check
from bridge.healthcheck.verdict import Unhealthy, Unknown

__all__ = ["Unhealthy", "Unknown", "check"]
