"""Every form of the store's address: all clients reach the broker's Redis by it."""

from __future__ import annotations

import ssl

import pytest
from celery import Celery

import bridge
from bridge.errors import SettingsError, StoreUnavailable
from bridge.local.valkey import LocalValkey
from bridge.settings import Settings
from bridge.store import JobStore
from bridge.store.health import read_signs
from tests.integration.store.every_client import check_every_client
from tests.tls import Authority, TlsProxy


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("BRIDGE_STORE_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(valkey, authority):
    with TlsProxy(valkey.port, authority) as proxy:
        yield proxy


def app_of(settings: Settings, **conf) -> Settings:
    """Settings of an app, and its broker answers."""
    app = Celery("app", set_as_current=False)
    app.conf.update(conf)
    bridge.install(app)
    with app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
    return settings.model_copy(update={"store_url": app.bridge.settings.store_url})


@pytest.mark.parametrize("spelling", ["CERT_NONE", "none", None])
def test_tls_without_a_check_of_the_certificate(settings, tls, spelling):
    query = f"?ssl_cert_reqs={spelling}" if spelling else ""
    check_every_client(app_of(settings, broker_url=f"rediss://127.0.0.1:{tls.port}/0{query}"))


@pytest.mark.parametrize("spelling", ["CERT_REQUIRED", "required", "CERT_OPTIONAL", "optional"])
def test_tls_with_an_authority_in_the_url(settings, tls, authority, spelling):
    query = f"ssl_cert_reqs={spelling}&ssl_ca_certs={authority.ca}"
    check_every_client(app_of(settings, broker_url=f"rediss://127.0.0.1:{tls.port}/0?{query}"))


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("checks", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_tls_by_broker_use_ssl(settings, tls, authority, scheme, checks):
    use_ssl = {"ssl_cert_reqs": checks, "ssl_ca_certs": str(authority.ca)}
    url = f"{scheme}://127.0.0.1:{tls.port}/0"
    check_every_client(app_of(settings, broker_url=url, broker_use_ssl=use_ssl))


def test_tls_with_a_certificate_of_the_client(settings, valkey, authority):
    use_ssl = {
        "ssl_ca_certs": str(authority.ca),
        "ssl_certfile": str(authority.client),
        "ssl_keyfile": str(authority.client),
    }
    with TlsProxy(valkey.port, authority, asks=True) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        check_every_client(app_of(settings, broker_url=url, broker_use_ssl=use_ssl))


def test_a_certificate_of_a_foreign_authority_is_refused(settings, tls):
    settings = settings.model_copy(update={"store_url": f"rediss://127.0.0.1:{tls.port}/0"})
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        read_signs(settings, timeout_s=5)


def test_unix_sockets(settings, tmp_path):
    path = tmp_path / "r.sock"
    with LocalValkey(options=("--unixsocket", str(path))) as server:
        check_every_client(app_of(settings, broker_url=f"redis+socket://{path}"))
        for url in (f"unix://{path}?db=1", f"redis+socket://{path}?virtual_host=1"):
            check_every_client(settings.model_copy(update={"store_url": url}))
        check_every_client(
            settings.model_copy(update={"store_url": f"redis://127.0.0.1:{server.port}/1"})
        )


def test_a_list_of_one_server(settings, valkey):
    check_every_client(app_of(settings, broker_url=[valkey.url, valkey.url]))
    check_every_client(app_of(settings, broker_url=f"{valkey.url};{valkey.url}"))
    check_every_client(app_of(settings, broker_read_url=valkey.url, broker_write_url=valkey.url))


def test_a_user_with_a_password(settings):
    rule = ["shop", "on", ">p@ss/:", "~*", "&*", "+@all"]
    with LocalValkey(options=("--user", *rule)) as server:
        url = f"redis://shop:p%40ss%2F%3A@127.0.0.1:{server.port}/2"
        check_every_client(app_of(settings, broker_url=url))
        wrong = url.replace("ss%2F", "ss%2Fs3cret")
        with pytest.raises(StoreUnavailable) as caught:
            check_every_client(settings.model_copy(update={"store_url": wrong}))
        assert "s3cret" not in str(caught.value)


def test_a_provider_of_credentials(settings, monkeypatch):
    import redis

    class Provider(redis.CredentialProvider):
        def get_credentials(self):
            return "shop", "p"

    rule = ["shop", "on", ">p", "~*", "&*", "+@all"]
    monkeypatch.setattr("tests.tls.Provider", Provider, raising=False)
    with LocalValkey(options=("--user", *rule)) as server:
        url = f"redis://127.0.0.1:{server.port}/0?credential_provider=tests.tls.Provider"
        check_every_client(app_of(settings, broker_url=url))
        unknown = settings.model_copy(update={"store_url": url + "s"})
        with pytest.raises(SettingsError, match=r"tests\.tls\.Providers"):
            JobStore(unknown)
