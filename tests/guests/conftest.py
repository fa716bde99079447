"""Apps as users have them, each without the bridge and with it. `make guests` runs this folder.

A file declares how many seconds it takes, ``pytestmark = pytest.mark.lasts(90)``. The longest files
run first, so that none of them runs alone at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.local.valkey import LocalValkey
from tests.guests.app_run import AppRun, run_app
from tests.guests.host_app import HostApp


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the tests of one file keep their order."""

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("lasts")
        return float(marker.args[0]) if marker else 0.0

    items.sort(key=seconds, reverse=True)


@pytest.fixture
def host_app(tmp_path):
    """Copy an app of ``apps/``: ``host_app("plain")`` with the bridge, ``bridge=False`` without."""

    def copy(name: str, *, bridge: bool = True) -> HostApp:
        folder = tmp_path / f"{name}-{'with' if bridge else 'without'}"
        return HostApp(name, folder, bridge=bridge)

    return copy


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory, local_stepfunctions):
    """Run an app without the bridge, then with it; both runs. See ``app_run.run_app``.

    Each run has its own Valkey. It is the broker, unless ``broker`` starts another one; then it is
    the bridge's store.
    """

    def run(
        name: str,
        workers: Callable[[HostApp], None],
        *,
        broker: Any = LocalValkey,
        app: str = "shop",
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> tuple[AppRun, AppRun]:
        runs = []
        for bridge in (False, True):
            folder = tmp_path_factory.mktemp("run") / name
            with LocalValkey() as valkey, broker() as server:
                store = {} if broker is LocalValkey else {"BRIDGE_STORE_URL": valkey.url}
                host = HostApp(
                    name,
                    folder,
                    bridge=bridge,
                    app=app,
                    BROKER=server.url,
                    RESULTS=valkey.url,
                    stepfunctions_url=local_stepfunctions.url,
                    **store,
                    **(env or {}),
                )
                try:
                    runs.append(run_app(host, workers, broker_url=server.url, **options))
                finally:
                    host.stop()
        without, with_ = runs
        return without, with_

    return run
