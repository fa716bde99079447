"""What each of Celery's pools can do, beside what Celery's own classes say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import concurrency

from bridge.worker.pools import POOLS, Pool, pool_of, pool_of_class


@pytest.mark.parametrize("alias", ["prefork", "threads", "gevent", "eventlet", "solo"])
def test_every_pool_that_celery_has_is_in_the_table(alias):
    worker = SimpleNamespace(pool_cls=concurrency.get_implementation(alias))
    assert pool_of(worker) in POOLS


def test_a_pool_that_is_not_in_the_table_can_do_nothing():
    class TaskPool:
        pass

    TaskPool.__module__ = "shop.pools"
    assert pool_of_class(TaskPool) == Pool(name="pools")


def test_only_prefork_applies_both_time_limits():
    assert [pool.name for pool in POOLS if pool.has_soft_limit and pool.has_hard_limit] == [
        "prefork"
    ]
    assert [pool.name for pool in POOLS if pool.forks] == ["prefork"]
