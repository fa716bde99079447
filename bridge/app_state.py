"""What the bridge keeps on a Celery app: settings, registry, store. ``installed(app)`` returns it.

Each is made when it is first used: importing an app must not fail, so that Celery's command line
can report an error in one sentence.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from celery import Celery

from bridge import registry, settings
from bridge.addresses.broker import Broker, store_url_of
from bridge.errors import SettingsError
from bridge.registry import Registry
from bridge.settings import Settings
from bridge.store import JobStore

if TYPE_CHECKING:
    from bridge.worker.pools import Pool

# Children of a prefork pool read here which worker's lease they run on: the environment survives
# both a fork and a spawn.
_WORKER_ID = "CELERY_STEPFUNCTIONS_WORKER_ID"
_worker_id = ""


@dataclass(frozen=True, slots=True)
class _Owned:
    pid: int
    store: JobStore


class Installation:
    """What the bridge keeps on one Celery app, as ``app.bridge``.

    Attributes:
        imports_tasks: Whether ``BRIDGE_TASKS`` is imported even when it is not set.
        pool: The pool of this worker; None in other processes.
    """

    def __init__(self, app: Celery, *, imports_tasks: bool) -> None:
        self.app = app
        self.pool: Pool | None = None
        self.imports_tasks = imports_tasks
        self._jobs: _Owned | None = None

    @cached_property
    def settings(self) -> Settings:
        """The settings; raises ``SettingsError``."""
        return settings.load(derive_store=self._store_of_broker)

    def _store_of_broker(self) -> str:
        conf = self.app.conf
        return store_url_of(
            Broker(conf.broker_read_url, self.app.connection_for_read),
            Broker(conf.broker_write_url, self.app.connection_for_write),
        )

    @cached_property
    def registry(self) -> Registry:
        """The activities. Use it after the app's tasks are imported. Raises ``SettingsError``."""
        return registry.build(self.app, self.settings)

    @property
    def jobs(self) -> JobStore:
        """The store of jobs of this process: a fork must not use its parent's connections."""
        if self._jobs is None or self._jobs.pid != os.getpid():
            threaded = self.pool is not None and self.pool.has_threads
            self._jobs = _Owned(os.getpid(), JobStore(self.settings, threaded=threaded))
        return self._jobs.store

    def load_tasks(self) -> Registry:
        """Import the app's tasks and return the registry.

        Raises:
            SettingsError: As for ``registry``; also when no task is an activity.
        """
        self.app.loader.import_default_modules()
        self.app.finalize()
        if not self.registry:
            raise SettingsError(
                f"no task of {', '.join(self.settings.tasks)} (BRIDGE_TASKS) has an activity: "
                'there is nothing to claim. Write @shared_task(activity="my-activity").'
            )
        return self.registry


def installed(app: Celery) -> Installation:
    """What the bridge keeps on ``app``.

    Raises:
        SettingsError: ``bridge.install(app)`` was not called.
    """
    installation = getattr(app, "bridge", None)
    if not isinstance(installation, Installation):
        raise SettingsError(
            f"the bridge is not installed on Celery app {app.main!r}. Call bridge.install(app)."
        )
    return installation


def process_name() -> str:
    """A new name for this process, at most 80 characters.

    It stands in leases, and as workerName in Step Functions.
    """
    return f"{socket.gethostname()[:60]}-{os.getpid()}-{os.urandom(3).hex()}"


def adopt_worker_id(nodename: str) -> str:
    """Give this worker a new id: a restarted worker must not take over a dead one's lease."""
    global _worker_id
    _worker_id = os.environ[_WORKER_ID] = f"{nodename}#{os.urandom(4).hex()}"
    return _worker_id


def worker_id() -> str:
    """The id of the worker that this process belongs to."""
    # The module's variable comes first: a fork has it, and a job may have cleared its environment.
    return _worker_id or os.environ.get(_WORKER_ID, "")
