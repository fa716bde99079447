"""What the commands share: their class, the option ``--json``, the bridge of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryCommand, CeleryOption

if TYPE_CHECKING:
    from bridge.app_state import Installation

JSON = click.option(
    "--json", "as_json", is_flag=True, cls=CeleryOption, help="Print JSON for programs."
)


class BridgeCommand(CeleryCommand):  # type: ignore[misc]
    """A command that prints an error of the bridge as a sentence, not as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a ``SettingsError`` ends it with exit status 2, other errors with 1."""
        from bridge.errors import BridgeError

        try:
            return super().invoke(ctx)
        except click.ClickException:
            raise
        except BridgeError as exc:
            raise click.ClickException(str(exc)) from None


def installation_of(ctx: click.Context) -> Installation:
    """The bridge of the app that ``celery -A`` names."""
    from bridge.app_state import installed

    return installed(ctx.obj.app)
