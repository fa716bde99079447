"""Run Step Functions, and Valkey on request, in the foreground: ``celery -A bridge local``."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import click

from bridge.local.stepfunctions import LocalStepFunctions
from bridge.local.valkey import LocalValkey

REGION = "us-east-1"


def environment(stepfunctions_url: str, valkey_url: str | None) -> dict[str, str]:
    """The variables that point the bridge, boto3 and the AWS CLI at the local parts."""
    env = {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_SFN": stepfunctions_url,
    }
    if valkey_url is not None:
        env["CELERY_BROKER_URL"] = valkey_url
    return env


def client_of(stepfunctions_url: str) -> Any:
    """A boto3 client of a local Step Functions."""
    return boto3.client(
        "stepfunctions",
        endpoint_url=stepfunctions_url,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106
    )


def run_local(
    *, port: int, valkey_port: int | None, valkey_dir: str | None, hold_s: float, as_json: bool
) -> None:
    """Print the environment that clients need, then serve until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        valkey = None
        if valkey_port is not None:
            folder = Path(valkey_dir) if valkey_dir else None
            valkey = stack.enter_context(LocalValkey(port=valkey_port, data_dir=folder))
        server = stack.enter_context(LocalStepFunctions(port=port, hold_s=hold_s))
        env = environment(server.url, valkey.url if valkey else None)
        if as_json:
            click.echo(json.dumps(env))
        else:
            click.echo("Step Functions runs on this machine; Ctrl-C stops it. In other shells:\n")
            for name, value in env.items():
                click.echo(f"export {name}={value}")
        stop.wait()
