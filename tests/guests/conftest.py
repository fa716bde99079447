"""Apps as people have them, each without the bridge and with it. `make guests` runs this folder.

A file that says how long it takes, ``pytestmark = pytest.mark.lasts(90)``, runs before shorter
ones: one that begins last would run alone.
"""

from __future__ import annotations

import pytest

from tests.guests.guest import Guest


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
