"""The fleet of the tests of capacity, as large as the module's ``FLEET`` says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.capacity_fleet import Fleet, SharedFleet


@pytest.fixture(scope="module")
def shared_fleet(request, tmp_path_factory) -> Iterator[SharedFleet]:
    """The fleet that a module's tests share: one worker, one poller, one beat process."""
    with SharedFleet(tmp_path_factory.mktemp("fleet"), request.module.FLEET) as shared:
        yield shared


@pytest.fixture
def capacity_fleet(request, shared_fleet) -> Iterator[Fleet]:
    """The module's fleet; after a test that failed, the next test gets a new one."""
    failed_before = request.session.testsfailed
    yield shared_fleet.get()
    if request.session.testsfailed > failed_before:
        shared_fleet.drop()
