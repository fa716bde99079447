"""The command ``settings``: show the settings in force."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.base import JSON, BridgeCommand, installation_of

if TYPE_CHECKING:
    from bridge.app_state import Installation


@click.command(cls=BridgeCommand)
@JSON
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """Show the settings in force, with secrets masked."""
    effective = effective_settings(installation_of(ctx))
    if as_json:
        click.echo(json.dumps(effective, indent=2))
    else:
        show_settings(effective)


def effective_settings(bridge: Installation) -> dict[str, dict[str, Any]]:
    """The settings in force in the sections "bridge", "celery" and "aws"; secrets are masked."""
    from bridge.stepfunctions import describe_connection
    from bridge.support.masking import masked

    conf = bridge.app.conf
    ours = masked(bridge.settings.model_dump(mode="json"))
    backend = conf.result_backend
    return {
        "bridge": {f"BRIDGE_{name.upper()}": value for name, value in ours.items()},
        "celery": {
            **_broker(conf.broker_read_url, conf.broker_write_url),
            "broker_use_ssl": masked(conf.broker_use_ssl),
            "result_backend": masked(backend) if isinstance(backend, str) else None,
            "task_default_queue": conf.task_default_queue,
            "broker_transport_options": masked(conf.broker_transport_options),
        },
        "aws": describe_connection(),
    }


def _broker(read: object, write: object) -> dict[str, str]:
    from bridge.support.masking import mask_urls

    if read == write:
        return {"broker_url": mask_urls(read)}
    return {"broker_read_url": mask_urls(read), "broker_write_url": mask_urls(write)}


def show_settings(effective: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the settings as a table."""
    from bridge.cli.tables import console, table

    rows = table("setting", "value", "from")
    for section, values in effective.items():
        for name, value in values.items():
            rows.add_row(name, _plain(value), _source(section, name))
    console().print(rows)


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{key}={each}" for key, each in value.items()) or "-"
    return "-" if value in (None, "") else str(value)


def _source(section: str, name: str) -> str:
    if section != "bridge":
        return section
    return "environment" if name in os.environ else "default"
