"""Install the bridge on a Celery app: its bootsteps, signals and tasks.

``bridge/worker/__init__.py`` lists all of them, with what Celery calls and when. The module is not
called ``install``, because ``bridge.install`` is the function: importing a submodule of that name
would put the module in its place.

Nothing here reads a setting while it is imported or installed. A wrong setting is reported by the
command that needs it, in one sentence.
"""

from __future__ import annotations

from typing import Any

import click
from celery import Celery, signals
from celery.utils.text import str_to_list

from bridge import logs
from bridge.app_state import Installation, installed
from bridge.errors import SettingsError, app_name
from bridge.processes import beat
from bridge.processes.tick_publishing import PublishTicks
from bridge.registry import SYSTEM_QUEUE, undeclared
from bridge.settings import is_set
from bridge.versions import enabled
from bridge.worker import celery_signals
from bridge.worker.bootsteps import EquipTasks, ServeActivities


def install(app: Celery) -> Celery:
    """Let an existing Celery app run Step Functions activities, and return it.

    The app's settings and its beat schedule stay as they are. The bridge adds bootsteps to the
    app's workers, and changes the tasks that are activities. The modules of ``BRIDGE_TASKS`` are
    imported only when it is set. A second call changes nothing.
    """
    return setup(app, imports_tasks=False)


def setup(app: Celery, *, imports_tasks: bool) -> Celery:
    """Install the bridge on an app, and return it.

    Args:
        imports_tasks: Whether the modules of ``BRIDGE_TASKS`` are imported even when it is not
            set. Its default is ``tasks``.
    """
    if isinstance(getattr(app, "bridge", None), Installation):
        return app
    app.bridge = Installation(app, imports_tasks=imports_tasks)
    app.steps["worker"].update({EquipTasks, ServeActivities, beat.MetricsPort, PublishTicks})
    celery_signals.connect()
    _add_optional_parts(app)
    logs.connect(app)
    beat.register(app)
    signals.import_modules.connect(_import_tasks, sender=app, dispatch_uid=("bridge", id(app)))
    return app


def _add_optional_parts(app: Celery) -> None:
    """Add the parts that reach inside Celery and kombu, where they were tested with the versions.

    Their modules are imported only then: with other versions even the import may fail.
    """
    steps = app.steps["consumer"]
    if enabled("gathered deliveries"):
        from bridge.worker.redis_transport.batch_acks import BatchAcks

        steps.add(BatchAcks)
    if enabled("gathered events"):
        from bridge.worker.batch_events import BatchEvents

        steps.add(BatchEvents)
    if enabled("batch receiving"):
        from bridge.worker.redis_transport.take_many import TakeMany

        steps.add(TakeMany)
    if enabled("room beside rate limits"):
        from bridge.worker.rate_limits import RaisePrefetch

        steps.add(RaisePrefetch)
    if enabled("prefetch mend"):
        from bridge.worker.prefetch import RestorePrefetchInLoop

        steps.add(RestorePrefetchInLoop)
    if enabled("refusal mend"):
        from bridge.worker.redis_transport.refused_writes import WaitOutRefusals

        steps.add(WaitOutRefusals)
    if enabled("broker loss mend") or enabled("refusal mend") or enabled("shared broker client"):
        from bridge.worker.redis_transport.kombu_fixes import fix_channels

        fix_channels()


def _check_system_queue(app: Celery) -> None:
    """Refuse a beat process when Celery may not create its queue.

    The check is made here, because Celery only logs what a later signal of a starting worker
    raises.
    """
    context = click.get_current_context(silent=True)
    asked = str_to_list((context and context.params.get("queues")) or [])
    if SYSTEM_QUEUE not in asked or app.conf.task_create_missing_queues:
        return
    if SYSTEM_QUEUE not in app.amqp.queues:
        raise SettingsError(undeclared(SYSTEM_QUEUE))


def _import_tasks(sender: Celery, **_: Any) -> None:
    """Import the modules of ``BRIDGE_TASKS``.

    A worker reads all settings here, because Celery logs what a bootstep raises with a traceback.
    The app's own beat, shell or report does not need the settings, so it must not end because one
    is missing or wrong.
    """
    bridge = installed(sender)
    context = click.get_current_context(silent=True)
    settings = bridge.settings if context and context.info_name == "worker" else None
    _check_system_queue(sender)
    if not bridge.imports_tasks and not is_set("tasks"):
        return
    for module in (settings or bridge.settings).tasks:
        try:
            sender.loader.import_task_module(module)
        except ModuleNotFoundError as exc:
            if exc.name is None or not f"{module}.".startswith(f"{exc.name}."):
                raise
            raise SettingsError(
                f"BRIDGE_TASKS names {module!r}, and there is no such module here: "
                f"celery -A {app_name()} looks for it in the working directory first. "
                "Start it where your tasks are, or set BRIDGE_TASKS."
            ) from None
