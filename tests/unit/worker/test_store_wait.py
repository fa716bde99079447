"""How a job waits for a store that is away."""

from __future__ import annotations

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from bridge.errors import SchemaMismatch, StoreUnavailable
from bridge.worker import store_wait
from bridge.worker.store_wait import wait_for_store, wait_past_soft_limit


class Store:
    """Raises these exceptions in turn, then answers."""

    def __init__(self, *exceptions: BaseException):
        self._exceptions = list(exceptions)

    def __call__(self) -> str:
        if self._exceptions:
            raise self._exceptions.pop(0)
        return "stored"


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(store_wait.time, "sleep", pauses.append)
    return pauses


def test_it_asks_until_the_store_answers_and_logs_once(slept, caplog):
    store = Store(StoreUnavailable("away."), SchemaMismatch("schema 2."), StoreUnavailable("away."))
    assert wait_for_store(store) == "stored"
    assert slept == [store_wait.OUTCOME_RETRY_S] * 3
    assert caplog.messages == ["away. This job waits for it."]


def test_another_error_is_raised():
    with pytest.raises(ValueError, match="a bug"):
        wait_for_store(Store(ValueError("a bug")))


def test_a_soft_time_limit_ends_the_wait_before_the_task_and_not_after_it():
    with pytest.raises(SoftTimeLimitExceeded):
        wait_for_store(Store(SoftTimeLimitExceeded()))
    assert wait_past_soft_limit(Store(SoftTimeLimitExceeded(), StoreUnavailable("."))) == "stored"
