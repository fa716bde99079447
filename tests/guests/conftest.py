"""Apps as people have them, each without the bridge and with it. `make guests` runs this folder.

A file that says how long it takes, ``pytestmark = pytest.mark.lasts(90)``, runs before shorter
ones: one that begins last would run alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.local.valkey import LocalValkey
from tests.guests.guest import Guest
from tests.guests.life import Life, live


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; tests of one file keep their order."""

    def seconds(item: pytest.Item) -> float:
        marker = item.get_closest_marker("lasts")
        return float(marker.args[0]) if marker else 0.0

    items.sort(key=seconds, reverse=True)


@pytest.fixture
def guest(tmp_path):
    """Copies an app of ``apps/``: ``guest("plain")`` with the bridge, ``bridge=False`` without."""

    def copy(name: str, *, bridge: bool = True) -> Guest:
        folder = tmp_path / f"{name}-{'with' if bridge else 'without'}"
        return Guest(name, folder, bridge=bridge)

    return copy


@pytest.fixture(scope="module")
def two_lives(tmp_path_factory, local_stepfunctions):
    """Lets an app live without the bridge, then with it; both lives. See ``life.live``.

    Each life has a Valkey of its own, which is the broker unless ``broker`` starts another; then
    it is the bridge's store.
    """

    def run(
        name: str,
        workers: Callable[[Guest], None],
        *,
        broker: Any = LocalValkey,
        app: str = "shop",
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> tuple[Life, Life]:
        lives = []
        for bridge in (False, True):
            folder = tmp_path_factory.mktemp("life") / name
            with LocalValkey() as valkey, broker() as server:
                store = {} if broker is LocalValkey else {"BRIDGE_STORE_URL": valkey.url}
                guest = Guest(
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
                    lives.append(live(guest, workers, broker_url=server.url, **options))
                finally:
                    guest.stop()
        without, with_ = lives
        return without, with_

    return run
