"""Tests with Celery 5.5, and the kombu and redis-py that it requires."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import ALL, assert_tests_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(160), pytest.mark.timeout(900)]


def test_the_selected_tests_pass():
    assert_tests_pass("celery==5.5.*", gives="celery 5.5, kombu 5.5, redis 5.2", tests=ALL)
