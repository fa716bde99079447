"""Options of a connection to Redis, by redis-py's names: read from a URL's query, and written."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

SHORTEST_TIMEOUT_S = 3.0
"""Of a socket: blocking calls wait for 2.5 s."""


def boolean(text: str) -> bool:
    """Yes or no, as redis-py and kombu write it."""
    if text.lower() in ("true", "yes", "y", "on", "1"):
        return True
    if text.lower() in ("false", "no", "n", "off", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def certificate(text: str) -> ssl.VerifyMode:
    """``required``, or ``CERT_REQUIRED`` as Celery's documentation writes it."""
    name = text.upper()
    name = name if name.startswith("CERT_") else f"CERT_{name}"
    if name not in ssl.VerifyMode.__members__:
        raise ValueError(f"{text!r} is none of required, optional, none (or CERT_REQUIRED, …)")
    return ssl.VerifyMode[name]


def _tls_version(text: str) -> ssl.TLSVersion:
    if text not in ssl.TLSVersion.__members__:
        raise ValueError(f"{text!r} is none of {', '.join(ssl.TLSVersion.__members__)}")
    return ssl.TLSVersion[text]


def _timeout(text: str) -> float:
    seconds = float(text)
    if not seconds >= SHORTEST_TIMEOUT_S:
        raise ValueError(
            f"{text} s is below {SHORTEST_TIMEOUT_S:g} s: blocking calls wait for 2.5 s"
        )
    return seconds


def text_of(value: Any) -> str:
    """The value of an option as a URL says it."""
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
