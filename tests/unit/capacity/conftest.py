"""The plans of these tests do not depend on the region of the environment."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_region(monkeypatch):
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
