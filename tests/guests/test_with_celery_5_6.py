"""Celery 5.6, and the kombu of its time."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import ALL, all_as_it_should_be

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(160), pytest.mark.timeout(900)]


def test_all_as_it_should_be():
    all_as_it_should_be(
        "celery==5.6.*",
        "kombu==5.6.*",
        gives="celery 5.6, kombu 5.6, redis 6.4",
        tests=ALL,
    )
