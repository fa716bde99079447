"""Tests with Celery 5.6 and kombu 5.6."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import ALL, assert_tests_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(160), pytest.mark.timeout(900)]


def test_the_selected_tests_pass():
    assert_tests_pass(
        "celery==5.6.*",
        "kombu==5.6.*",
        gives="celery 5.6, kombu 5.6, redis 6.4",
        tests=ALL,
    )
