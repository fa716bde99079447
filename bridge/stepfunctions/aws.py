"""Read where Step Functions is, and who calls it, from AWS's own variables and files.

botocore reads them, so every standard setting means here what it means to the AWS CLI. One
exception: botocore ignores ``AWS_REGION``, which containers and Lambda set. Here it comes first.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import botocore.session
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path, mask_proxy_url
from botocore.loaders import Loader, create_loader
from botocore.utils import get_environ_proxies

from bridge.errors import SettingsError

SERVICE = "stepfunctions"
CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 10.0
_ATTEMPTS = 3
_ROLE_SESSION = "celery-stepfunctions"  # shown in CloudTrail


@dataclass(frozen=True, slots=True)
class Connection:
    """Where calls go, and in which role.

    Attributes:
        region: The region that requests are signed for, such as ``"eu-west-1"``.
        endpoint_url: URL that calls are posted to.
        signing_name: SigV4's service name.
        profile: Profile of the AWS files; None: none is named.
        ca_bundle: File or folder of the trusted certificates; empty where the URL is plain http.
        proxy: URL of the proxy, perhaps with a password; None for none.
        role_arn: Role in which calls are made; None: the environment's credentials are used.
    """

    region: str
    endpoint_url: str
    signing_name: str = "states"
    profile: str | None = None
    ca_bundle: str = ""
    proxy: str | None = field(default=None, repr=False)
    role_arn: str | None = None

    @classmethod
    def from_environment(cls, region: str | None = None, role_arn: str | None = None) -> Self:
        """Read the environment and the AWS files; no network, no credentials.

        Args:
            region: By default the environment's.
            role_arn: Role to assume; by default none.

        Raises:
            SettingsError: No region is set, or a profile, a region or a URL is impossible.
        """
        try:
            session = _session()
            region = region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
            if not region:
                raise SettingsError(
                    "no AWS region is set: set AWS_REGION, AWS_DEFAULT_REGION, or `region` in the "
                    f"profile {session.profile or 'default'!r} of the AWS config file."
                )
            client = session.create_client(
                SERVICE, region_name=region, config=Config(signature_version=UNSIGNED)
            )
            endpoint_url = _url_of_calls(client)
            if urlsplit(endpoint_url).username is not None:
                raise SettingsError(
                    "the URL of Step Functions has a login in it, and signed calls have no place "
                    "for one: remove it from AWS_ENDPOINT_URL_SFN, AWS_ENDPOINT_URL or the profile."
                )
            return cls(
                region=client.meta.region_name,
                endpoint_url=endpoint_url,
                signing_name=client.meta.service_model.signing_name,
                profile=session.profile,
                ca_bundle=_ca_bundle(session, endpoint_url),
                proxy=_proxy(endpoint_url),
                role_arn=role_arn,
            )
        except (BotoCoreError, ValueError) as exc:
            raise SettingsError(f"the AWS settings are impossible: {exc}") from exc

    def new_session(self) -> Any:
        """A fresh botocore session, which reads files again that may have changed."""
        session = _session(self.profile)
        session.set_config_variable("region", self.region)  # STS is asked in this region too
        return session

    def load_credentials(self) -> Any | None:
        """The credentials, made by botocore, which may refresh themselves; None: no source has any.

        Blocks: containers, instances and STS are asked over the network.
        """
        session = self.new_session()
        credentials = session.get_credentials()
        if credentials is None or self.role_arn is None:
            return credentials
        fetcher = AssumeRoleCredentialFetcher(
            session.create_client,
            credentials,
            self.role_arn,
            extra_args={"RoleSessionName": _ROLE_SESSION},
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    def control_plane(self) -> Any:
        """A blocking botocore client, for the calls that are not hot."""
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=_READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        keys = {}
        if self.role_arn is not None and (credentials := self.load_credentials()) is not None:
            frozen = credentials.get_frozen_credentials()  # lives longer than such a client
            keys = {
                "aws_access_key_id": frozen.access_key,
                "aws_secret_access_key": frozen.secret_key,
                "aws_session_token": frozen.token,
            }
        return self.new_session().create_client(
            SERVICE, region_name=self.region, config=config, **keys
        )

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context that verifies the endpoint; None for plain http.

        Raises:
            SettingsError: The CA bundle cannot be read.
        """
        if not self.ca_bundle:
            return None
        folder = Path(self.ca_bundle).is_dir()
        try:
            if folder:
                return ssl.create_default_context(capath=self.ca_bundle)
            return ssl.create_default_context(cafile=self.ca_bundle)
        except OSError as exc:
            raise SettingsError(
                f"the CA bundle {self.ca_bundle!r} cannot be read: {exc.strerror or exc}. Mend "
                "AWS_CA_BUNDLE, or `ca_bundle` of the profile."
            ) from exc


def _session(profile: str | None = None) -> Any:
    """A session that shares the descriptions of AWS services with all other sessions."""
    session = botocore.session.Session(profile=profile)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(data_path: str | None) -> Loader:
    """Reads descriptions of AWS services once in a process; each client would take 9 MB and 0.1 s.

    Args:
        data_path: ``AWS_DATA_PATH``, where the user's own descriptions are.
    """
    return create_loader(data_path)


def describe_connection() -> dict[str, str | None]:
    """The connection in use, with secrets masked; ``problem`` says why there is none."""
    try:
        connection = Connection.from_environment()
    except SettingsError as exc:
        return {"region": None, "endpoint_url": None, "problem": exc.message}
    return {
        "region": connection.region,
        "endpoint_url": connection.endpoint_url,
        "profile": connection.profile,
        "credentials": _credentials_source(connection),
        "ca_bundle": connection.ca_bundle or None,
        "proxy": mask_proxy_url(connection.proxy) if connection.proxy else None,
    }


def _credentials_source(connection: Connection) -> str:
    try:
        credentials = connection.load_credentials()
    except Exception as exc:  # noqa: BLE001 (providers raise whatever they like; this is a report)
        return f"unavailable: {exc}"
    return "none" if credentials is None else str(credentials.method)


def _url_of_calls(client: Any) -> str:
    """The URL to which botocore itself would send a call.

    ``client.meta.endpoint_url`` may be another one, for example in us-gov-west-1 with dual stack,
    where the endpoint rules decide. So botocore prepares a call, and gets an answer before it sends
    it.
    """
    urls = []

    def answer(params: dict[str, Any], **_: Any) -> tuple[Any, dict[str, Any]]:
        urls.append(params["url"])
        return AWSResponse(url=params["url"], status_code=200, headers={}, raw=None), {}

    client.meta.events.register_first("before-call", answer)
    client.list_activities()
    return str(urls[0])


def _ca_bundle(session: Any, endpoint_url: str) -> str:
    if urlsplit(endpoint_url).scheme != "https":
        return ""
    named = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    return str(named or get_cert_path(True))


def _proxy(endpoint_url: str) -> str | None:
    proxy = get_environ_proxies(endpoint_url).get(urlsplit(endpoint_url).scheme)
    if not proxy:
        return None
    return proxy if "://" in proxy else f"http://{proxy.removeprefix('//')}"
