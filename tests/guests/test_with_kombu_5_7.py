"""What pip chooses for Celery 5.6: it takes any newer kombu."""

from __future__ import annotations

import pytest

from tests.guests.other_versions import FEW, all_as_it_should_be

pytestmark = [pytest.mark.acceptance, pytest.mark.lasts(90), pytest.mark.timeout(900)]


def test_all_as_it_should_be():
    all_as_it_should_be("celery==5.6.*", gives="celery 5.6, kombu 5.7, redis 8.1", tests=FEW)
