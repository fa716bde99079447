"""Derive the URL of the claim store from an app's broker: the same Redis, with the same options.

kombu itself reads the broker's settings here: URLs, lists of URLs, ``broker_use_ssl`` and
environment variables. So they mean the same for the claim store as for the broker.
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
    """The broker that Celery reads from, or writes to.

    Attributes:
        url: As Celery accepts it: one URL, several separated by ";", a list, or None.
        connect: Makes kombu's connection to the broker, or to one of its URLs, without connecting.
    """

    url: Any
    connect: Callable[[Any], Connection]


class _NotDerivable(Exception):
    """No claim store can be derived from the broker; the message says why."""


def urls_of(broker: object) -> tuple[str, ...]:
    """The URLs of a broker, which Celery accepts as one, several separated by ";", or a list."""
    if broker is None:
        return ()
    if isinstance(broker, str):
        return tuple(broker.split(";"))
    return tuple(map(str, broker)) if isinstance(broker, Iterable) else (str(broker),)


def scheme_of(broker: object) -> str:
    """The scheme of a broker, such as ``redis``; ``amqp`` when no broker is set."""
    return next(iter(urls_of(broker)), "amqp://").partition(":")[0].partition("+")[0]


def passwords_of(broker: object) -> list[str]:
    """The passwords in the URLs of a broker."""
    return [unquote(urlsplit(url).password or "") for url in urls_of(broker)]


def store_url_of(read: Broker, write: Broker) -> str:
    """The URL of a claim store in the broker's Redis.

    Raises:
        SettingsError: None can be derived; the message names ``BRIDGE_STORE_URL``.
    """
    shown = mask_urls(read.url) or "amqp:// (Celery's default: none is set)"
    try:
        found = _address(read)
        if urls_of(write.url) != urls_of(read.url) and _address(write) != found:
            _refuse(f"Celery reads from it and writes to {mask_urls(write.url)}")
    except _NotDerivable as exc:
        raise SettingsError(
            f"BRIDGE_STORE_URL is not set, and no claim store can be derived from the broker "
            f"{shown}: {exc}. Set BRIDGE_STORE_URL=redis://… to the Redis for claims."
        ) from None
    return str(found)


def store_url_without_kombu(url: str) -> str:
    """The store URL for a plain URL of one Redis, read without kombu; empty: kombu must read it."""
    if not url.startswith(("redis://", "rediss://")) or ";" in url:
        return ""
    try:
        address = parse(url)
    except ValueError:
        return ""
    if address.tls and not address.options:
        address = replace(address, options={"ssl_cert_reqs": ssl.CERT_NONE})  # as kombu does
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
            f"Celery changes between its {len(found)} servers when one is away, but the claims "
            "would stay in one of them"
        )
    return found.popitem()[1]


def _connection(broker: Broker) -> Connection:
    try:
        connection = broker.connect(broker.url)
        connection.get_transport_cls()  # imports the transport
    except Exception as exc:  # noqa: BLE001 (a transport without its package raises anything)
        # Without the exception's text, which may quote a part of the password.
        _refuse(f"Celery cannot read it ({type(exc).__name__})")
    return connection


def _of_connection(connection: Connection, urls: tuple[str, ...]) -> Address:
    transport = connection.get_transport_cls()
    if transport.driver_type != "redis":
        _refuse("it is not Redis, which claims need")
    if callable(connection.password):
        _refuse("its password is a function")
    tls = _tls(connection)
    if "://" in (connection.hostname or ""):
        return _of_socket(connection, tls)
    options = dict(tls)
    provider = getattr(connection, "credential_provider", None)  # kombu 5.6 and newer
    if provider:
        options["credential_provider"] = _name(provider)
    # With a credential provider, kombu ignores user and password.
    provided = "credential_provider" in options
    is_sentinel = transport.default_port == SENTINEL_PORT  # kombu has no other mark
    host = connection.hostname or "127.0.0.1"
    address = Address(
        kind=Kind.SENTINEL if is_sentinel else Kind.SERVER,
        nodes=((host, int(connection.port or PORT)),),
        db=_database(connection.virtual_host),
        username="" if provided else connection.userid or "",
        password="" if provided else connection.password or "",
        tls=bool(tls),
        options=options,
    )
    return _checked(_with_sentinels(address, connection, urls) if is_sentinel else address)


def _with_sentinels(address: Address, connection: Connection, urls: tuple[str, ...]) -> Address:
    """The address with the sentinels of its URLs, and what transport options say of them."""
    options = connection.transport_options or {}
    if not options.get("master_name"):
        _refuse("broker_transport_options has no master_name")
    port = int(connection.port or SENTINEL_PORT)
    return replace(
        address,
        nodes=_sentinels(urls) or ((connection.hostname or "127.0.0.1", port),),
        master_name=str(options["master_name"]),
        sentinel_options=_sentinel_options(options.get("sentinel_kwargs")),
        min_other_sentinels=int(options.get("min_other_sentinels") or 0),
    )


def _of_socket(connection: Connection, tls: Mapping[str, Any]) -> Address:
    """The address for ``redis+socket://``, whose rest kombu does not parse."""
    scheme, _, rest = connection.hostname.partition("://")
    if scheme != "socket":
        _refuse(f"Celery has no {connection.uri_prefix}+{scheme}://")
    if tls:
        _refuse("broker_use_ssl asks for TLS, which a Unix socket does not have")
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
    """The address as it is read from its own URL, which is what the claim store uses."""
    try:
        return parse(str(address))
    except ValueError as exc:
        _refuse(str(exc))


def _tls(connection: Connection) -> dict[str, Any]:
    """The options of TLS; empty without TLS."""
    given = connection.ssl
    if not given:
        return {}
    if not isinstance(given, Mapping):
        _refuse(
            f"broker_use_ssl={given!r} leaves Celery's connections to Redis without TLS; it must "
            'be a dict, such as {"ssl_cert_reqs": ssl.CERT_REQUIRED}'
        )
    names = {name for name in OPTIONS if name.startswith("ssl_")}
    return _expressed(given, names, "broker_use_ssl") or {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def _sentinel_options(given: object) -> dict[str, Any]:
    if not given:
        return {}
    if not isinstance(given, Mapping):
        _refuse(f"sentinel_kwargs is a {type(given).__name__}, not a dict")
    return _expressed(given, set(SENTINEL_OPTIONS), "sentinel_kwargs")


def _expressed(given: Mapping[str, Any], names: set[str], where: str) -> dict[str, Any]:
    """The options as a URL can have them; any other option is refused."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name not in names:
            _refuse(
                f"{where} has {name!r}, which the claim store does not know (it knows "
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
    """The value as in redis-py, where None means no verification."""
    if value is None:
        return ssl.CERT_NONE
    try:
        return certificate(value) if isinstance(value, str) else ssl.VerifyMode(value)
    except ValueError:
        _refuse(f"ssl_cert_reqs={value!r} is not ssl.CERT_REQUIRED, CERT_OPTIONAL or CERT_NONE")


def _sentinels(urls: Iterable[str]) -> tuple[tuple[str, int], ...]:
    found = []
    for url in urls:
        try:
            parts = urlsplit(f"http://{url.partition('://')[2] or url}")
            found.append(
                (unquote(parts.hostname or "") or "127.0.0.1", parts.port or SENTINEL_PORT)
            )
        except ValueError:
            _refuse("the port of a sentinel is not a number up to 65535")
    return tuple(dict.fromkeys(found))


def _database(virtual_host: object) -> int:
    text = str(virtual_host or "0").strip("/") or "0"
    return int(text) if text.isdigit() else _refuse(f"{text!r} is not the number of a database")


def _name(provider: object) -> str:
    """The name of a credential provider; an object has none that a URL could hold."""
    if isinstance(provider, str):
        return provider
    _refuse(f"its credential_provider is an object ({type(provider).__name__})")
