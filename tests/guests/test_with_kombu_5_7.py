"""Tests with Celery 5.6 and kombu 5.7, which pip chooses for it."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import FEW, assert_tests_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(90), pytest.mark.timeout(900)]


def test_the_selected_tests_pass():
    assert_tests_pass("celery==5.6.*", gives="celery 5.6, kombu 5.7, redis 8.1", tests=FEW)
