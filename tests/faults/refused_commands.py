"""What a command shows when it refuses its environment."""

from __future__ import annotations

import subprocess

SECRET = "s3cret"
"""A password that tests put into URLs."""
ARN = "arn:aws:states:us-east-1:123456789012:activity:{}"


def shown_settings(value: object) -> str:
    """The id of a parametrized test: the variables that it sets; empty for other values."""
    if isinstance(value, dict):
        return ",".join(f"{name}={text}" for name, text in value.items())[:60]
    return ""


def assert_one_sentence(
    done: subprocess.CompletedProcess[str], *, says: str, status: tuple[int, ...] = (2,)
) -> None:
    """The command ended with a sentence on stderr, without a traceback and without a secret."""
    shown = done.stdout + done.stderr
    assert done.returncode in status, shown
    assert says in done.stderr, shown
    assert "Traceback" not in shown
    assert SECRET not in shown
    assert "local-secret" not in shown
