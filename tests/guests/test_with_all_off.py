"""Celery 5.7 with all optional parts switched off."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import SELECTED, all_as_it_should_be

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(140), pytest.mark.timeout(900)]


def test_all_as_it_should_be():
    all_as_it_should_be(
        "celery==5.7.*",
        gives="celery 5.7, kombu 5.7, redis 8.1",
        tests=SELECTED,
        optimizations="off",
    )
