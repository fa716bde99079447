"""Read and write the URL of the claim store.

A URL names one of four kinds of Redis:

``redis://`` ``rediss://``                  one server (also ``valkey://``, ``valkeys://``)
``unix://`` ``redis+socket://``             one server, by its Unix socket
``sentinel://h1;h2;h3/0?master_name=m``     the primary that these sentinels know
``redis+cluster://`` ``rediss+cluster://``  the node of a Redis Cluster that has the claims

User and password are those of the server; sentinels have ``sentinel_username`` and
``sentinel_password``. Options are in the query, with the names that redis-py gives to arguments of
a connection. An option whose name begins with ``ssl_`` turns TLS on, as in Celery.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from bridge.addresses.redis_options import OPTIONS, SENTINEL_OPTIONS, boolean, text_of
from bridge.support.masking import mask_url

PORT = 6379
SENTINEL_PORT = 26379
SENTINEL = "sentinel_"


class Kind(StrEnum):
    """The kind of Redis at an address."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


# Scheme → kind, TLS.
SCHEMES: dict[str, tuple[Kind, bool]] = {
    "redis": (Kind.SERVER, False),
    "rediss": (Kind.SERVER, True),
    "valkey": (Kind.SERVER, False),
    "valkeys": (Kind.SERVER, True),
    "unix": (Kind.SOCKET, False),
    "redis+socket": (Kind.SOCKET, False),
    "sentinel": (Kind.SENTINEL, False),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}
_WRITTEN = {at: scheme for scheme, at in reversed(SCHEMES.items())}


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the claim store.

    Attributes:
        nodes: Host and port of each server, sentinel or cluster node in the URL.
        path: Path of the Unix socket.
        db: Number of the database.
        tls: Whether connections use TLS.
        options: Arguments of redis-py for a connection to the server.
        master_name: Name of the primary, as sentinels know it.
        sentinel_options: Arguments of redis-py for a connection to a sentinel.
        min_other_sentinels: How many other sentinels a sentinel must see to be trusted.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    master_name: str = ""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    min_other_sentinels: int = 0

    @property
    def verified(self) -> bool:
        """Whether TLS verifies the server's certificate; True without TLS."""
        return not self.tls or self.options.get("ssl_cert_reqs") is not ssl.CERT_NONE

    @property
    def secrets(self) -> Iterator[str]:
        """The passwords, which must never be shown."""
        yield self.password
        for options in (self.options, self.sentinel_options):
            yield from (str(value) for name, value in options.items() if "password" in name)

    def __str__(self) -> str:
        """The URL, including the passwords."""
        tls_by_scheme = self.tls and (self.kind, True) in _WRITTEN
        scheme = _WRITTEN[self.kind, tls_by_scheme]
        user = quote(self.username, safe="")
        if self.password:
            user += f":{quote(self.password, safe='')}"
        hosts = ";".join(
            f"{f'[{host}]' if ':' in host else host}:{port}" for host, port in self.nodes
        )
        path = quote(self.path) if self.kind is Kind.SOCKET else f"/{self.db}"
        fields = {
            "db": self.db if self.kind is Kind.SOCKET else 0,
            "ssl": self.tls and not tls_by_scheme,
            "master_name": self.master_name,
            "min_other_sentinels": self.min_other_sentinels,
        }
        pairs = [
            *((name, value) for name, value in fields.items() if value),
            *self.options.items(),
            *((SENTINEL + name, value) for name, value in self.sentinel_options.items()),
        ]
        texts = [(name, text_of(value)) for name, value in pairs]
        return (
            f"{scheme}://{user + '@' if user else ''}{hosts}{path}"
            f"{'?' + urlencode(texts, safe='/', quote_via=quote) if texts else ''}"
        )


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        ValueError: The URL does not name a Redis for claims; the message says why, with passwords
            masked.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES or "://" not in url:
        raise ValueError(
            f"{mask_url(url)!r} is not a Redis URL; it must start with one of "
            f"{', '.join(f'{each}://' for each in SCHEMES)}"
        )
    kind, tls = SCHEMES[scheme]
    servers, _, text = url.partition("?")
    parts = [_split(part, scheme, url) for part in _parts(servers, kind)]
    query = dict(parse_qsl(text, keep_blank_values=True))
    found = {name: _only(name, values, url) for name, values in _repeated(parts, kind).items()}
    if kind is Kind.SERVER and len(parts) > 1:
        raise ValueError(
            f"{mask_url(url)!r} names {len(parts)} servers, but claims are in one: name that one, "
            "or its sentinels (sentinel://), or its cluster (redis+cluster://)"
        )
    username = query.pop("username", None) or found["username"]
    password = query.pop("password", None) or found["password"]
    db_text = query.pop("db", None) or query.pop("virtual_host", None) or found["db"]
    options, sentinel_options, more = _options(query, kind, url)
    ssl_options = any(name.startswith("ssl_") for name in options)
    address = Address(
        kind=kind,
        nodes=() if kind is Kind.SOCKET else tuple(dict.fromkeys(_node(p, kind) for p in parts)),
        path=unquote(parts[0].path) if kind is Kind.SOCKET else "",
        db=_database(db_text, url),
        username=username,
        password=password,
        tls=tls or more.pop("ssl", False) or ssl_options,
        options=options,
        sentinel_options=sentinel_options,
        **more,
    )
    return _possible(address, url)


def _parts(servers: str, kind: Kind) -> list[str]:
    """The part of each server; all but the first may be without a scheme."""
    several = kind in (Kind.SENTINEL, Kind.CLUSTER)
    between = r"[;,]" if several else r"[;,]\s*(?=[\w+.-]+://)"
    return [part.strip() for part in re.split(between, servers) if part.strip()]


def _split(part: str, scheme: str, url: str) -> SplitResult:
    before, found, rest = part.partition("://")
    if found and before.lower() != scheme:
        raise ValueError(f"{mask_url(url)!r} names servers of two kinds: {scheme} and {before}")
    try:
        split = urlsplit(f"http://{rest if found else part}")
        split.port  # noqa: B018 (reading it parses it)
    except ValueError:  # its message may quote a part of the password
        raise ValueError(
            f"{mask_url(url)!r} has a port that is not a number up to 65535. In passwords, "
            "write '/' as %2F, '@' as %40, ':' as %3A, '?' as %3F and '#' as %23."
        ) from None
    return split


def _repeated(parts: Iterable[SplitResult], kind: Kind) -> dict[str, set[str]]:
    """Every user name, password and database in the parts of a URL."""
    found: dict[str, set[str]] = {"username": set(), "password": set(), "db": set()}
    for part in parts:
        found["username"].add(unquote(part.username or ""))
        found["password"].add(unquote(part.password or ""))
        if kind is not Kind.SOCKET:
            found["db"].add(unquote(part.path).strip("/"))
    return found


def _only(name: str, values: set[str], url: str) -> str:
    values = values - {""}
    if len(values) > 1:
        raise ValueError(f"{mask_url(url)!r} names more than one {name}")
    return values.pop() if values else ""


def _node(part: SplitResult, kind: Kind) -> tuple[str, int]:
    port = SENTINEL_PORT if kind is Kind.SENTINEL else PORT
    return unquote(part.hostname or "") or "127.0.0.1", part.port or port


def _database(text: str, url: str) -> int:
    try:
        return int(text or 0)
    except ValueError:
        raise ValueError(f"{mask_url(url)!r}: {text!r} is not the number of a database") from None


def _options(
    query: Mapping[str, str], kind: Kind, url: str
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Options of the server, options of the sentinels, and options that redis-py does not have."""
    options: dict[str, Any] = {}
    sentinel_options: dict[str, Any] = {}
    more: dict[str, Any] = {}
    known = {**OPTIONS, "ssl": boolean}
    if kind is Kind.SENTINEL:
        known |= {"master_name": str, "min_other_sentinels": int}
        known |= {SENTINEL + name: read for name, read in SENTINEL_OPTIONS.items()}
    for name, text in query.items():
        if name not in known:
            raise ValueError(
                f"{mask_url(url)!r}: {name!r} is not an option for a {kind}. Known: "
                f"{', '.join(sorted(known))}"
            )
        try:
            value = known[name](text)
        except ValueError as exc:
            raise ValueError(f"{mask_url(url)!r}: {name}: {exc}") from None
        if name in OPTIONS:
            options[name] = value
        elif name.startswith(SENTINEL):
            sentinel_options[name.removeprefix(SENTINEL)] = value
        else:
            more[name] = value
    return options, sentinel_options, more


def _possible(address: Address, url: str) -> Address:
    """Return the address if a Redis can have it."""
    shown, kind = mask_url(url), address.kind
    if kind is Kind.SOCKET and not address.path.strip("/"):
        raise ValueError(f"{shown!r} has no path of a socket, as in unix:///run/redis.sock?db=1")
    if kind is Kind.SOCKET and address.tls:
        raise ValueError(f"{shown!r} asks for TLS, which a Unix socket does not have")
    if kind is Kind.CLUSTER and address.db:
        raise ValueError(
            f"{shown!r} names database {address.db}: a Redis Cluster has database 0 only"
        )
    if kind is Kind.SENTINEL and not address.master_name:
        raise ValueError(
            f"{shown!r} does not name the primary as its sentinels know it: add ?master_name=…"
        )
    return address
