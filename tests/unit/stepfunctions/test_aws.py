"""Where the environment and the AWS files lead; TLS and proxies on the way."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.errors import ServiceUnavailable, SettingsError
from bridge.stepfunctions import Connection, StepFunctions, describe_connection
from bridge.support.backoff import RetryPolicy
from tests.unit.stepfunctions.server import REGION, Proxy, Server

ONCE = RetryPolicy(attempts=1, base_s=0, cap_s=0)


def beat() -> None:
    async def main():
        async with StepFunctions(heartbeat_retry=ONCE) as client:
            await client.send_task_heartbeat("token")

    asyncio.run(main())


def url(**env) -> str:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return Connection.from_environment().endpoint_url


class TestRegion:
    def test_aws_region_comes_first(self, monkeypatch, tmp_path):
        (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
        assert Connection.from_environment().region == "eu-west-3"
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
        assert Connection.from_environment().region == "eu-west-2"
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        assert Connection.from_environment().region == "eu-west-1"
        monkeypatch.setenv("AWS_REGION", "")
        assert Connection.from_environment().region == "eu-west-2"

    def test_the_region_of_the_profile_is_used(self, monkeypatch, tmp_path):
        (tmp_path / "config").write_text("[profile work]\nregion = us-west-2\n")
        monkeypatch.setenv("AWS_PROFILE", "work")
        found = Connection.from_environment()
        assert (found.region, found.profile) == ("us-west-2", "work")

    def test_a_missing_region_is_an_error(self):
        with pytest.raises(SettingsError, match="AWS_REGION"):
            Connection.from_environment()
        with pytest.raises(SettingsError, match="AWS_REGION"):
            StepFunctions()

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("AWS_PROFILE", "nobody", "nobody"),
            ("AWS_REGION", "eu west", "eu west"),
            ("AWS_ENDPOINT_URL_SFN", "localhost", "localhost"),
            ("AWS_ENDPOINT_URL", "http://me:secret@localhost", "login"),
        ],
    )
    def test_impossible_settings_are_an_error(self, monkeypatch, name, value, said):
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError, match=said) as caught:
            Connection.from_environment()
        assert "secret" not in str(caught.value)


class TestEndpoint:
    def test_the_endpoint_is_that_of_the_region(self):
        assert url(AWS_REGION="eu-west-1") == "https://states.eu-west-1.amazonaws.com/"
        assert url(AWS_REGION="cn-north-1") == "https://states.cn-north-1.amazonaws.com.cn/"

    def test_fips_and_dual_stack_are_used(self):
        fips, dual = {"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}
        assert url(AWS_REGION="us-east-1", **fips) == (
            "https://states-fips.us-east-1.amazonaws.com/"
        )
        assert url(AWS_REGION="us-east-1", **dual) == "https://states.us-east-1.api.aws/"
        assert url(AWS_REGION="us-east-1", **fips, **dual) == (
            "https://states-fips.us-east-1.api.aws/"
        )

    @pytest.mark.parametrize("region", ["us-gov-west-1", "us-iso-east-1"])
    def test_the_endpoint_rules_decide(self, monkeypatch, region):
        """botocore's ``client.meta.endpoint_url`` is not where it sends calls to."""
        monkeypatch.setenv("AWS_REGION", region)
        monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        sent = []

        def stop(request, **_):
            sent.append(request.url)
            raise InterruptedError

        client = boto3.client("stepfunctions", region_name=region)
        client.meta.events.register("before-send", stop)
        with pytest.raises(InterruptedError):
            client.send_task_heartbeat(taskToken="t")
        assert [Connection.from_environment().endpoint_url] == sent != [client.meta.endpoint_url]

    def test_variables_name_the_endpoint(self):
        of_all, of_sfn = (
            {"AWS_ENDPOINT_URL": "http://all:1"},
            {"AWS_ENDPOINT_URL_SFN": "http://sfn:2"},
        )
        assert url(AWS_REGION=REGION, **of_all) == "http://all:1/"
        assert url(AWS_REGION=REGION, **of_all, **of_sfn) == "http://sfn:2/"
        assert url(AWS_REGION=REGION, **of_sfn, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true") == (
            "https://states.eu-west-1.amazonaws.com/"
        )

    def test_the_config_file_names_the_endpoint(self, tmp_path):
        (tmp_path / "config").write_text(
            "[profile a]\nservices = local\nregion = eu-west-1\n"
            "[services local]\nsfn =\n  endpoint_url = http://file:3\n"
        )
        assert url(AWS_PROFILE="a") == "http://file:3/"
        assert url(AWS_PROFILE="a", AWS_ENDPOINT_URL_SFN="http://sfn:2") == "http://sfn:2/"

    def test_the_users_own_endpoint_rules_are_used(self, tmp_path):
        """Read although the process has read botocore's before."""
        assert url(AWS_REGION=REGION) == "https://states.eu-west-1.amazonaws.com/"
        folder = tmp_path / "stepfunctions" / "2016-11-23"
        folder.mkdir(parents=True)
        rule = {"type": "endpoint", "conditions": [], "endpoint": {"url": "https://own.example"}}
        rules = {"version": "1.0", "parameters": {}, "rules": [rule]}
        (folder / "endpoint-rule-set-1.json").write_text(json.dumps(rules))
        assert url(AWS_REGION=REGION, AWS_DATA_PATH=str(tmp_path)) == "https://own.example/"

    def test_no_network_and_no_credentials_are_needed(self, monkeypatch):
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
        Connection.from_environment()

    def test_calls_reach_it_by_the_general_variable(self, server, monkeypatch):
        monkeypatch.delenv("AWS_ENDPOINT_URL_SFN")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        beat()
        assert len(server.calls) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 that signs itself: its file, and a server's side of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return str(folder / "cert.pem"), context


@pytest.fixture
def tls_server(certificate, monkeypatch):
    """As ``server``, by https."""
    server = Server(certificate[1])
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.keys["AKIDEXAMPLE"])
    yield server
    server.close()
    assert server.bad_signatures == []


class TestTls:
    @pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
    def test_the_users_own_ca_bundle_is_trusted(
        self, tls_server, certificate, monkeypatch, variable
    ):
        monkeypatch.setenv(variable, certificate[0])
        beat()
        assert len(tls_server.calls) == 1

    def test_the_bundle_of_the_profile_is_trusted(self, tls_server, certificate, tmp_path):
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {certificate[0]}\n")
        beat()

    def test_an_unknown_authority_is_refused(self, tls_server):
        with pytest.raises(ServiceUnavailable, match=r"not trusted.*self.signed.*AWS_CA_BUNDLE"):
            beat()
        assert tls_server.calls == []

    def test_a_name_that_is_not_the_certificates_is_refused(
        self, tls_server, certificate, monkeypatch
    ):
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        monkeypatch.setenv("AWS_ENDPOINT_URL_SFN", f"https://localhost:{tls_server.port}")
        with pytest.raises(ServiceUnavailable, match="not trusted"):
            beat()

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_bundle_that_cannot_be_read_is_an_error(self, monkeypatch, tmp_path, content):
        if content is not None:
            (tmp_path / "ca.pem").write_text(content)
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with pytest.raises(SettingsError, match=r"ca.pem.*AWS_CA_BUNDLE"):
            StepFunctions()

    def test_a_folder_of_certificates_is_trusted(self, monkeypatch, tmp_path):
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path))
        assert Connection.from_environment().tls() is not None


class TestProxies:
    @pytest.mark.parametrize("login", ["", "me:top%20secret"])
    def test_https_goes_through_the_proxy(self, tls_server, certificate, monkeypatch, login):
        proxy = Proxy(tls_server.port, login=login.replace("%20", " "))
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        monkeypatch.setenv(
            "HTTPS_PROXY", f"http://{login}{'@' if login else ''}127.0.0.1:{proxy.port}"
        )
        beat()
        proxy.close()
        assert proxy.asked == [f"CONNECT 127.0.0.1:{tls_server.port} HTTP/1.1"]
        assert len(tls_server.calls) == 1

    def test_a_proxy_that_refuses_is_an_error(self, tls_server, certificate, monkeypatch):
        proxy = Proxy(tls_server.port, login="me:right")
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:topsecret@127.0.0.1:{proxy.port}")
        with pytest.raises(ServiceUnavailable, match="the proxy answers HTTP 407") as caught:
            beat()
        proxy.close()
        assert "topsecret" not in f"{caught.value!r}"

    def test_a_proxy_that_is_not_there_is_an_error(self, tls_server, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:1")
        with pytest.raises(ServiceUnavailable, match=r"proxy cannot be reached .*refused"):
            beat()

    def test_no_proxy_exempts_the_endpoint(self, tls_server, certificate, monkeypatch):
        monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        beat()


class TestDescription:
    def test_it_shows_the_connection_in_use(self, server, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://me:secret@proxy:3128")
        assert describe_connection() == {
            "region": REGION,
            "endpoint_url": f"{server.url}/",
            "profile": None,
            "credentials": "env",
            "ca_bundle": None,
            "proxy": "http://***:***@proxy:3128",
        }

    def test_it_shows_that_there_are_no_credentials(self, monkeypatch):
        monkeypatch.setenv("AWS_REGION", REGION)
        assert describe_connection()["credentials"] == "none"

    def test_it_shows_that_the_secret_key_is_missing(self, monkeypatch):
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        assert "AWS_SECRET_ACCESS_KEY" in str(describe_connection()["credentials"])

    def test_it_shows_that_there_is_no_region(self):
        found = describe_connection()
        assert found["region"] is None
        assert "AWS_REGION" in str(found["problem"])
