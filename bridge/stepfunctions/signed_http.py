"""HTTP connections to one endpoint of Step Functions, on which each call is signed.

All calls share one pool of connections. It has no ceiling by default, so that polls, which are held
open for a minute, never keep heartbeats waiting for a connection.
"""

from __future__ import annotations

from base64 import b64encode
from importlib.metadata import PackageNotFoundError, version

import aiohttp
from yarl import URL

from bridge.errors import CredentialsUnavailable, ServiceUnavailable
from bridge.stepfunctions.aws import Connection
from bridge.stepfunctions.aws_errors import no_answer, refusal
from bridge.stepfunctions.credentials import SharedCredentials
from bridge.stepfunctions.signing import Signer


class SignedHttp:
    """Posts signed calls. Belongs to the event loop that first uses it.

    Args:
        connection: Where calls go.
        credentials: Whose calls they are.
        max_connections: At once, at most; 0 is without a limit.

    Raises:
        SettingsError: The CA bundle cannot be read.
    """

    def __init__(
        self, connection: Connection, credentials: SharedCredentials, *, max_connections: int = 0
    ) -> None:
        self._endpoint_url = connection.endpoint_url
        self._credentials = credentials
        self._max_connections = max_connections
        self._url = URL(connection.endpoint_url, encoded=True)
        self._signer = Signer(connection)
        self._tls = connection.tls()
        self._proxy, self._proxy_headers = _proxy(connection.proxy)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """Close all connections; open calls end as ServiceUnavailable."""
        self._closed = True
        await self._credentials.close()
        if self._session is not None:
            await self._session.close()

    async def post(
        self, call: str, body: bytes, *, timeout: aiohttp.ClientTimeout, token: str = ""
    ) -> bytes:
        """One request; the body of its answer.

        Args:
            call: Name of the call, such as ``"SendTaskHeartbeat"``.
            body: Its JSON.
            timeout: For this request.
            token: The task token in the body, which errors must not quote.

        Raises:
            StepFunctionsError: Step Functions refuses, or does not answer.
        """
        credentials = await self._credentials.current()
        broken: ServiceUnavailable
        try:
            async with self._open_session().post(
                self._url,
                data=body,
                headers=self._signer.headers(call, body, credentials),
                timeout=timeout,
                proxy_headers=self._proxy_headers,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as exc:
            broken = no_answer(call, self._endpoint_url, exc)
        else:
            if response.status == 200:
                return content
            error = refusal(call, response.status, response.headers, content, token=token)
            if isinstance(error, CredentialsUnavailable):
                self._credentials.reject(credentials)
            raise error
        # Not in the except block: aiohttp's exception, with all its headers, would be its context.
        raise broken

    def _open_session(self) -> aiohttp.ClientSession:
        """The connections; made at the first call, where the event loop surely runs."""
        if self._closed:
            raise RuntimeError("this Step Functions client is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections, ttl_dns_cache=60, ssl=self._tls or True
                ),
                # Not trust_env: it costs two hops to threads a call, and a .netrc would replace
                # the signature.
                proxy=self._proxy,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _user_agent()},
                skip_auto_headers=("Accept", "Accept-Encoding"),
            )
        return self._session


def _proxy(url: str | None) -> tuple[URL | None, dict[str, str] | None]:
    """A proxy's URL and its login apart, so that no error quotes the password."""
    if url is None:
        return None, None
    proxy = URL(url)
    if proxy.user is None:
        return proxy, None
    login = b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return proxy.with_user(None), {"Proxy-Authorization": f"Basic {login}"}


def _user_agent() -> str:
    try:
        return f"celery-stepfunctions/{version('celery-stepfunctions')}"
    except PackageNotFoundError:  # run from a checkout
        return "celery-stepfunctions"
