"""Only the version of moto is accepted whose methods are replaced."""

from __future__ import annotations

import pytest

from bridge.local.stepfunctions import moto_version


def test_the_pinned_version_is_accepted():
    moto_version.require_pinned_moto()


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(moto_version, "version", lambda _: "6.0.0")
    with pytest.raises(ImportError, match=r"moto 6\.0\.0.*celery-stepfunctions\[local\]"):
        moto_version.require_pinned_moto()
