"""Recognise environment variables that Kubernetes and Docker make from the names of services.

For a Service named ``bridge-metrics``, Kubernetes sets ``BRIDGE_METRICS_PORT=tcp://10.0.0.4:9108``
and more in every pod of its namespace; Docker does so for a container that is linked as ``bridge``.
These variables are not settings of the bridge, and operators cannot always prevent them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

_URL = re.compile(r"(tcp|udp|sctp)://\S+:\d+", re.IGNORECASE)


def _is_url(value: str) -> bool:
    return _URL.fullmatch(value) is not None


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def _is_protocol(value: str) -> bool:
    return value.lower() in ("tcp", "udp", "sctp")


def _is_link(value: str) -> bool:
    return (
        re.fullmatch(r"(/[^/\s]+){2}", value) is not None
    )  # as in "/web/bridge": container and alias


_SERVICE = r"(?P<service>[A-Z0-9_]+?)"
# The value must have the form that Kubernetes writes: BRIDGE_PORT=9108 is a misspelt setting.
# Sources: kubernetes/pkg/kubelet/envvars; Docker, "Legacy container links".
_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (re.compile(_SERVICE + end), check)
    for end, check in (
        ("_SERVICE_HOST", _is_address),
        ("_SERVICE_PORT(_[A-Z0-9_]+)?", _is_port),
        (r"_PORT(_\d+_(TCP|UDP|SCTP))?", _is_url),
        (r"_PORT_\d+_(TCP|UDP|SCTP)_PROTO", _is_protocol),
        (r"_PORT_\d+_(TCP|UDP|SCTP)_PORT", _is_port),
        (r"_PORT_\d+_(TCP|UDP|SCTP)_ADDR", _is_address),
        ("_NAME", _is_link),
    )
)
# Docker copies the environment of the linked container, with any values.
_COPIED = re.compile(_SERVICE + "_ENV_.+")


def is_service_link(name: str, env: Mapping[str, str]) -> bool:
    """Whether Kubernetes or Docker made this variable of ``env`` from the name of a service.

    The form of the name and the value decide together.
    """
    value = env[name]
    if any(form.fullmatch(name) and fits(value) for form, fits in _FORMS):
        return True
    copied = _COPIED.fullmatch(name)
    return copied is not None and _is_link(env.get(f"{copied['service']}_NAME", ""))


def refusal(name: str, value: str) -> str:
    """The message for a setting whose name is taken by the variable of a service."""
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"{name}={value} is not a setting: Kubernetes makes this variable for a Service named "
        f"{service!r}. Set enableServiceLinks: false in the pod's spec, give {name} a value there, "
        "or rename the Service."
    )
