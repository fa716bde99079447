"""The command ``local``: run Step Functions, and Valkey, on this machine."""

from __future__ import annotations

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand


@click.command(cls=BridgeCommand)
@click.option(
    "--port",
    default=8083,
    show_default=True,
    cls=CeleryOption,
    help="Port of Step Functions on 127.0.0.1; 0 chooses a free port.",
)
@click.option(
    "--valkey-port",
    type=int,
    cls=CeleryOption,
    help="Also start Valkey, on this port; 0 chooses a free port.",
)
@click.option(
    "--valkey-dir",
    type=click.Path(file_okay=False),
    cls=CeleryOption,
    help="Keep Valkey's data in this folder (append-only file).",
)
@click.option(
    "--hold-s",
    default=60.0,
    show_default=True,
    cls=CeleryOption,
    help="Seconds that a poll waits for a task; AWS waits 60 s.",
)
@JSON
def local(
    port: int, valkey_port: int | None, valkey_dir: str | None, hold_s: float, as_json: bool
) -> None:
    """Run Step Functions (and Valkey) on this machine, for development and tests."""
    from bridge.local.run import run_local

    run_local(
        port=port, valkey_port=valkey_port, valkey_dir=valkey_dir, hold_s=hold_s, as_json=as_json
    )
