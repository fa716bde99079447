"""The claim store that follows from an app's broker: the same Redis, reached in the same way.

kombu reads the broker's settings here, all of them, so that what it makes of a URL, of lists, of
``broker_use_ssl`` and of the environment's variables holds for the claims, too.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from bridge.addresses.redis_options import OPTIONS, SENTINEL_OPTIONS, boolean, certificate
from bridge.addresses.store_url import PORT, SENTINEL_PORT, Address, Kind, parse
from bridge.errors import SettingsError
from bridge.support.masking import mask_urls

if TYPE_CHECKING:
    from kombu import Connection


class Broker(NamedTuple):
    """What Celery reads from, or writes to.

    Attributes:
        url: As Celery takes it: one URL, several with ";" between, a list, or None.
        connect: Makes kombu's connection to it, or to one of its URLs; it need not connect yet.
    """

    url: Any
    connect: Callable[[Any], Connection]


class _NotDerivable(Exception):
    """Says why no claim store follows from the broker."""


def urls_of(broker: object) -> tuple[str, ...]:
    """The URLs of what Celery takes as a broker: one, several with ";" between, or a list."""
    if broker is None:
        return ()
    if isinstance(broker, str):
        return tuple(broker.split(";"))
    return tuple(map(str, broker)) if isinstance(broker, Iterable) else (str(broker),)


def scheme_of(broker: object) -> str:
    """``redis``, ``amqp``, … of what Celery takes as a broker; RabbitMQ's where it is not set."""
    return next(iter(urls_of(broker)), "amqp://").partition(":")[0].partition("+")[0]


def passwords_of(broker: object) -> list[str]:
    """The passwords in its URLs."""
    return [unquote(urlsplit(url).password or "") for url in urls_of(broker)]


def store_url_of(read: Broker, write: Broker) -> str:
    """The URL of the claim store that is the broker's Redis.

    Raises:
        SettingsError: None follows from it; one sentence that names ``BRIDGE_STORE_URL``.
    """
    said = mask_urls(read.url) or "amqp:// (Celery's default: none is set)"
    try:
        found = _address(read)
        if urls_of(write.url) != urls_of(read.url) and _address(write) != found:
            _refuse(f"Celery reads from it and writes to {mask_urls(write.url)}")
    except _NotDerivable as exc:
        raise SettingsError(
            f"BRIDGE_STORE_URL is not set, and no claim store can be derived from the broker "
            f"{said}: {exc}. Set BRIDGE_STORE_URL=redis://… to the Redis of the claims."
        ) from None
    return str(found)


def store_url_without_kombu(url: str) -> str:
    """The kind of the commonest URLs, read without kombu; empty: kombu has to read this one."""
    if not url.startswith(("redis://", "rediss://")) or ";" in url:
        return ""
    try:
        address = parse(url)
    except ValueError:
        return ""
    if address.tls and not address.options:
        address = replace(address, options={"ssl_cert_reqs": ssl.CERT_NONE})  # as kombu has it
    return str(address)


def _refuse(why: str) -> NoReturn:
    raise _NotDerivable(why)


def _address(broker: Broker) -> Address:
    urls = urls_of(broker.url)
    if scheme_of(broker.url) == "sentinel" or len(urls) <= 1:
        return _of_connection(_connection(broker), urls)
    addresses = [_address(Broker(url, broker.connect)) for url in urls]
    found = {str(address): address for address in addresses}
    if len(found) > 1:
        _refuse(
            f"Celery goes to another of its {len(found)} servers when one is away, and the claims "
            "would stay behind"
        )
    return found.popitem()[1]


def _connection(broker: Broker) -> Connection:
    try:
        connection = broker.connect(broker.url)
        connection.get_transport_cls()  # imports it
    except Exception as exc:  # noqa: BLE001 (whatever a transport raises where its package misses)
        # Not its text: it may quote a part of the password.
        _refuse(f"Celery cannot read it ({type(exc).__name__})")
    return connection


def _of_connection(connection: Connection, urls: tuple[str, ...]) -> Address:
    transport = connection.get_transport_cls()
    if transport.driver_type != "redis":
        _refuse("it is no Redis, and claims need one")
    if callable(connection.password):
        _refuse("its password is a function")
    tls = _tls(connection)
    if "://" in (connection.hostname or ""):
        return _of_socket(connection, tls)
    options = dict(tls)
    provider = getattr(connection, "credential_provider", None)  # kombu 5.6 and newer
    if provider:
        options["credential_provider"] = _name(provider)
    is_sentinel = transport.default_port == SENTINEL_PORT  # which kombu names in no better way
    nodes = _sentinels(urls) if is_sentinel else ()
    port = SENTINEL_PORT if is_sentinel else PORT
    told = connection.transport_options or {}
    if is_sentinel and not told.get("master_name"):
        _refuse("broker_transport_options has no master_name")
    # With a credential provider, kombu drops user and password.
    provided = "credential_provider" in options
    return _checked(
        Address(
            kind=Kind.SENTINEL if is_sentinel else Kind.SERVER,
            nodes=nodes or ((connection.hostname or "127.0.0.1", int(connection.port or port)),),
            db=_database(connection.virtual_host),
            username="" if provided else connection.userid or "",
            password="" if provided else connection.password or "",
            tls=bool(tls),
            options=options,
            master_name=str(told.get("master_name") or "") if is_sentinel else "",
            sentinel_options=_sentinel_options(told.get("sentinel_kwargs")) if is_sentinel else {},
            min_other_sentinels=int(told.get("min_other_sentinels") or 0) if is_sentinel else 0,
        )
    )


def _of_socket(connection: Connection, tls: Mapping[str, Any]) -> Address:
    """``redis+socket://``: kombu hands the rest of the URL on as it is."""
    scheme, _, rest = connection.hostname.partition("://")
    if scheme != "socket":
        _refuse(f"Celery has no {connection.uri_prefix}+{scheme}://")
    if tls:
        _refuse("a Unix socket has no TLS, and broker_use_ssl asks for it")
    parts = urlsplit(f"http://{rest}")
    query = dict(parse_qsl(parts.query))
    provider = query.get("credential_provider")
    return _checked(
        Address(
            kind=Kind.SOCKET,
            path="/" + unquote(parts.path).lstrip("/"),
            db=_database(query.get("virtual_host", connection.virtual_host)),
            username="" if provider else unquote(parts.username or ""),
            password="" if provider else unquote(parts.password or ""),
            options={"credential_provider": provider} if provider else {},
        )
    )


def _checked(address: Address) -> Address:
    """The address as its own URL is read: the claims live where that says."""
    try:
        return parse(str(address))
    except ValueError as exc:
        _refuse(str(exc))


def _tls(connection: Connection) -> dict[str, Any]:
    """The options of TLS; none without it."""
    said = connection.ssl
    if not said:
        return {}
    if not isinstance(said, Mapping):
        _refuse(
            f"broker_use_ssl={said!r} leaves Celery's connections to Redis without TLS; it has to "
            'be a dict, such as {"ssl_cert_reqs": ssl.CERT_REQUIRED}'
        )
    names = {name for name in OPTIONS if name.startswith("ssl_")}
    return _expressed(said, names, "broker_use_ssl") or {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def _sentinel_options(said: object) -> dict[str, Any]:
    if not said:
        return {}
    if not isinstance(said, Mapping):
        _refuse(f"sentinel_kwargs is no dict but a {type(said).__name__}")
    return _expressed(said, set(SENTINEL_OPTIONS), "sentinel_kwargs")


def _expressed(said: Mapping[str, Any], names: set[str], where: str) -> dict[str, Any]:
    """The options that a URL can say; the others refuse the whole."""
    made: dict[str, Any] = {}
    for name, value in said.items():
        if name not in names:
            _refuse(
                f"{where} has {name!r}, which the store does not know (it knows "
                f"{', '.join(sorted(names))})"
            )
        if name == "ssl_cert_reqs":
            made[name] = _certificate(value)
        elif value is not None:
            if not isinstance(value, str | int | float | ssl.TLSVersion):
                _refuse(f"{name!r} in {where} is a {type(value).__name__}")
            is_bool = name in ("ssl", "ssl_check_hostname", "socket_keepalive")
            made[name] = boolean(str(value)) if is_bool else value
    return made


def _certificate(value: Any) -> ssl.VerifyMode:
    """As redis-py takes it: None is no check."""
    if value is None:
        return ssl.CERT_NONE
    try:
        return certificate(value) if isinstance(value, str) else ssl.VerifyMode(value)
    except ValueError:
        _refuse(f"ssl_cert_reqs={value!r} is none of ssl.CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE")


def _sentinels(urls: Iterable[str]) -> tuple[tuple[str, int], ...]:
    found = []
    for url in urls:
        try:
            parts = urlsplit(f"http://{url.partition('://')[2] or url}")
            found.append(
                (unquote(parts.hostname or "") or "127.0.0.1", parts.port or SENTINEL_PORT)
            )
        except ValueError:
            _refuse("the port of a sentinel is no number up to 65535")
    return tuple(dict.fromkeys(found))


def _database(virtual_host: object) -> int:
    text = str(virtual_host or "0").strip("/") or "0"
    return int(text) if text.isdigit() else _refuse(f"{text!r} is no number of a database")


def _name(provider: object) -> str:
    """A class is named in a URL; an object cannot be."""
    if isinstance(provider, str):
        return provider
    _refuse(f"its credential_provider is an object ({type(provider).__name__})")
