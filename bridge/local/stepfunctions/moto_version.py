"""Check that the installed moto is the version whose methods this package replaces."""

from __future__ import annotations

from importlib.metadata import version

MOTO_VERSION = "5.2.5"


def require_pinned_moto() -> None:
    """Check the installed version of moto.

    Raises:
        ImportError: Another version of moto is installed.
    """
    installed = version("moto")
    if installed != MOTO_VERSION:
        raise ImportError(
            f"the local Step Functions replaces methods of moto {MOTO_VERSION} and was not tested "
            f"with moto {installed}. Install celery-stepfunctions[local], which pins it."
        )
