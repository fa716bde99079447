"""Run every check of the doctor.

The checks ask the real services. Step Functions is called with an invalid token, so that nothing
changes and only IAM can refuse the call. Redis tells its configuration, and the claim store tells
which processes are alive.
"""

from __future__ import annotations

from collections.abc import Iterator

from bridge.app_state import Installation
from bridge.cli.doctor.app import check_tasks, check_time_to_stop
from bridge.cli.doctor.broker import check_broker, check_visibility_timeout
from bridge.cli.doctor.claim_store import check_store
from bridge.cli.doctor.installed_versions import check_optional_parts, check_versions
from bridge.cli.doctor.result import CheckResult
from bridge.cli.doctor.stepfunctions import check_activities, check_permissions


def examine(bridge: Installation) -> Iterator[CheckResult]:
    """Check everything, in an order in which the first failure often explains the later ones.

    Raises:
        SettingsError: The settings or the tasks cannot be loaded, so nothing can be checked.
    """
    yield check_tasks(bridge)
    yield check_versions()
    yield from check_optional_parts()
    yield from check_activities(bridge)
    yield from check_permissions(bridge)
    yield from check_store(bridge)
    yield from check_broker(bridge)
    yield from check_visibility_timeout(bridge)
    yield check_time_to_stop(bridge)
