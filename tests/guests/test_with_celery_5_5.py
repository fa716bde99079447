"""Celery 5.5, and the kombu and redis-py that it requires."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import ALL, all_as_it_should_be

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(160), pytest.mark.timeout(900)]


def test_all_as_it_should_be():
    all_as_it_should_be("celery==5.5.*", gives="celery 5.5, kombu 5.5, redis 5.2", tests=ALL)
