"""Connection options of Redis in the query of a URL, with redis-py's names: read and write."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

SHORTEST_TIMEOUT_S = 3.0
"""The least socket timeout: blocking calls wait for 2.5 s."""


def boolean(text: str) -> bool:
    """Read a boolean in one of the forms of redis-py and kombu."""
    if text.lower() in ("true", "yes", "y", "on", "1"):
        return True
    if text.lower() in ("false", "no", "n", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def certificate(text: str) -> ssl.VerifyMode:
    """Read ``required``, or ``CERT_REQUIRED`` as in Celery's documentation."""
    name = text.upper()
    name = name if name.startswith("CERT_") else f"CERT_{name}"
    if name not in ssl.VerifyMode.__members__:
        raise ValueError(f"{text!r} is not one of required, optional, none (or CERT_REQUIRED, …)")
    return ssl.VerifyMode[name]


def _tls_version(text: str) -> ssl.TLSVersion:
    if text not in ssl.TLSVersion.__members__:
        raise ValueError(f"{text!r} is not one of {', '.join(ssl.TLSVersion.__members__)}")
    return ssl.TLSVersion[text]


def _timeout(text: str) -> float:
    seconds = float(text)
    if not seconds >= SHORTEST_TIMEOUT_S:
        raise ValueError(
            f"{text} s is below {SHORTEST_TIMEOUT_S:g} s: blocking calls wait for 2.5 s"
        )
    return seconds


def text_of(value: Any) -> str:
    """The value of an option as a URL has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ssl.VerifyMode):
        return value.name.removeprefix("CERT_").lower()
    return value.name if isinstance(value, ssl.TLSVersion) else str(value)


_TLS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": certificate,
    "ssl_certfile": str,
    "ssl_check_hostname": boolean,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_min_version": _tls_version,
    "ssl_password": str,
}
OPTIONS: dict[str, Callable[[str], Any]] = {
    **_TLS,
    "client_name": str,
    "credential_provider": str,
    "health_check_interval": int,
    "max_connections": int,
    "protocol": int,
    "socket_connect_timeout": float,
    "socket_keepalive": boolean,
    "socket_timeout": _timeout,
}
SENTINEL_OPTIONS: dict[str, Callable[[str], Any]] = {
    **_TLS,
    "password": str,
    "socket_connect_timeout": float,
    "socket_keepalive": boolean,
    "socket_timeout": float,
    "ssl": boolean,
    "username": str,
}
