"""Check whether Flower answers at /healthcheck, which needs no password."""

from __future__ import annotations

import http.client
import os

from bridge.healthcheck.celery_process import CeleryProcess
from bridge.healthcheck.verdict import Unhealthy, Unknown

EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 (only compared)


def check_flower(process: CeleryProcess, *, timeout_s: float) -> str:
    """Ask Flower at the port that its options or environment variables name."""
    if process.option("--certfile") or process.option("--unix_socket", "--unix-socket"):
        raise Unknown("Flower with TLS or on a Unix socket is not asked")
    environ = os.environ.get
    port = process.option("--port", default=environ("FLOWER_PORT", "5555"))
    address = process.option("--address", default=environ("FLOWER_ADDRESS", ""))
    prefix = process.option(
        "--url_prefix", "--url-prefix", default=environ("FLOWER_URL_PREFIX", "")
    )
    path = f"/{prefix.strip('/')}/healthcheck".replace("//", "/")
    host = "127.0.0.1" if address in EVERY_ADDRESS else address
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except OSError as exc:
        raise Unhealthy(f"Flower does not answer at {host}:{port}: {exc}") from None
    finally:
        connection.close()
    if status != http.client.OK:
        raise Unhealthy(f"Flower answers {status} at {path}")
    return f"Flower answers at {host}:{port}"
