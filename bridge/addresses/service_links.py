"""Environment variables that Kubernetes and Docker make of the names of services.

A Service named ``bridge-metrics`` puts ``BRIDGE_METRICS_PORT=tcp://10.0.0.4:9108`` and several more
into every pod of its namespace; a container that is linked as ``bridge`` does the same. They are no
settings of the bridge, and an operator cannot always keep them out.
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
    return re.fullmatch(r"(/[^/\s]+){2}", value) is not None  # "/web/bridge": container and alias


_SERVICE = r"(?P<service>[A-Z0-9_]+?)"
# A value has to look as Kubernetes writes it: BRIDGE_PORT=9108 is a misspelt setting.
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
# What Docker copies of the linked container's own environment may hold any value.
_COPIED = re.compile(_SERVICE + "_ENV_.+")


def is_service_link(name: str, env: Mapping[str, str]) -> bool:
    """Whether Kubernetes or Docker made this variable of ``env`` of a service's name.

    Decided by the form of the name and by the value together.
    """
    value = env[name]
    if any(form.fullmatch(name) and fits(value) for form, fits in _FORMS):
        return True
    copied = _COPIED.fullmatch(name)
    return copied is not None and _is_link(env.get(f"{copied['service']}_NAME", ""))


def refusal(name: str, value: str) -> str:
    """Why a setting cannot be read: a service's variable has its name. One sentence or two."""
    service = name.removesuffix("_PORT").lower().replace("_", "-")
    return (
        f"{name}={value} is no setting but the variable that Kubernetes makes of a Service named "
        f"{service!r}. Set enableServiceLinks: false in the pod's spec, give {name} a value there, "
        "or rename the Service."
    )
