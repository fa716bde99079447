"""Remember, for each thread, whether the run that began there last has ended for the store.

The task runner stores an outcome, and then Celery's signals tell of the same end once more. The
handlers of the signals ask here, and skip such an end.
"""

from __future__ import annotations

import threading

from bridge.model import Job

_last = threading.local()


def note_begin() -> None:
    """A run begins in this thread: nothing has ended here yet."""
    _last.ended = None


def note_end(job: Job) -> None:
    """The run of this job has ended in this thread: what Celery says of it later is ignored."""
    _last.ended = job


def has_ended(job: Job) -> bool:
    """Whether the run that this thread began last was one of this job, and has ended."""
    return getattr(_last, "ended", None) == job
