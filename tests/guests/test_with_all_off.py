"""Tests with Celery 5.7 and all optimizations off."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import SELECTED, assert_tests_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(140), pytest.mark.timeout(900)]


def test_the_selected_tests_pass():
    assert_tests_pass(
        "celery==5.7.*",
        gives="celery 5.7, kombu 5.7, redis 8.1",
        tests=SELECTED,
        optimizations="off",
    )
