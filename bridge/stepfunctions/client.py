"""The four hot calls, asyncio: poll, heartbeat, success, failure.

botocore signs, aiohttp sends: a quarter of the CPU of a botocore client on threads, and a thousand
open polls cost no thread. Calls share one pool of connections without a ceiling, so that polls,
held open for a minute, never stand in the way of heartbeats.
"""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

import aiohttp
from yarl import URL

from bridge.errors import CredentialsUnavailable, InvalidRequest, ServiceUnavailable, Throttled
from bridge.model import MAX_CAUSE_CHARS, MAX_ERROR_CHARS, MAX_OUTPUT_BYTES, cut
from bridge.names import parse_arn
from bridge.stepfunctions.aws import CONNECT_TIMEOUT_S, Connection
from bridge.stepfunctions.aws_errors import ConnectionLost, decode, no_answer, refusal
from bridge.stepfunctions.credentials import SharedCredentials
from bridge.stepfunctions.pace import Pace, Priority
from bridge.stepfunctions.signing import Signer
from bridge.support.backoff import HEARTBEAT_RETRY, REPORT_RETRY, RetryPolicy, Uniform

CALL_TIMEOUT_S = 10.0
"""One request of a short call, at most."""
MAX_WORKER_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class ActivityTask:
    """What a poll brings.

    Attributes:
        token: AWS's secret, the right to report.
        input: JSON text, as given.
    """

    token: str = field(repr=False)
    input: str = field(repr=False)


class StepFunctions:
    """The hot calls of one region and one event loop.

    Every call raises ``StepFunctionsError``s only; their messages never hold a task token.

    Args:
        connection: Where calls go; by default what the environment says.
        credentials: Whose calls they are; by default what the environment offers.
        heartbeat_retry: How heartbeats are tried again, where the call says nothing else.
        report_retry: How successes and failures are.
        max_connections: At once, at most; 0 is without a limit.
        on_throttled: Called with the name of each call that is refused as throttled.
        sleep: Waits between attempts.
        uniform: Draws the jitter.

    Raises:
        SettingsError: The environment names no region, or something impossible.
    """

    def __init__(
        self,
        connection: Connection | None = None,
        *,
        credentials: SharedCredentials | None = None,
        heartbeat_retry: RetryPolicy = HEARTBEAT_RETRY,
        report_retry: RetryPolicy = REPORT_RETRY,
        max_connections: int = 0,
        on_throttled: Callable[[str], None] = lambda call: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._connection = connection or Connection.from_environment()
        self._credentials = credentials or SharedCredentials(self._connection.load_credentials)
        self._heartbeat_retry = heartbeat_retry
        self._report_retry = report_retry
        self._max_connections = max_connections
        self._on_throttled = on_throttled
        self._sleep = sleep
        self._uniform = uniform
        self._pace = Pace()
        self._url = URL(self._connection.endpoint_url, encoded=True)
        self._signer = Signer(self._connection)
        self._tls = self._connection.tls()
        self._proxy, self._proxy_headers = _proxy(self._connection.proxy)
        self._http: aiohttp.ClientSession | None = None
        self._closed = False

    @property
    def region(self) -> str:
        """The region of its calls."""
        return self._connection.region

    @property
    def throttled_recently(self) -> bool:
        """Whether a call was refused as throttled within the last two seconds."""
        return self._pace.throttled_recently

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; an open poll ends as ServiceUnavailable, and its task is lost."""
        self._closed = True
        await self._credentials.close()
        if self._http is not None:
            await self._http.close()

    async def get_activity_task(
        self, activity_arn: str, *, worker_name: str, read_timeout_s: float = 65.0
    ) -> ActivityTask | None:
        """Long-poll for one activity task; None when the poll ends empty.

        Never tried again in here: a poll is a promise to do what it brings, so who opens one
        decides about the next. A poll that is broken off may have swallowed a task.

        Args:
            activity_arn: The activity's full ARN, of this client's region.
            worker_name: Shown in the execution's history; cut at 80 characters.
            read_timeout_s: Socket timeout in seconds, at least 65: AWS may hold the request for 60.

        Raises:
            ActivityDoesNotExist: No such ARN; retrying cannot help.
            TooManyPollers: 1,000 polls are open on this ARN; back off and retry.
            InvalidRequest: No ARN, an ARN of another region, or no worker name.
            StepFunctionsError: As of every call.

        Source: botocore stepfunctions 2016-11-23, GetActivityTask.
        """
        call = "GetActivityTask"
        self._check_region(activity_arn)
        if not worker_name:
            raise InvalidRequest(f"{call}: the worker name is empty.")
        fields = {
            "activityArn": activity_arn,
            "workerName": cut(worker_name, MAX_WORKER_NAME_CHARS),
        }
        # Beside the socket's timeout: an answer that trickles must end too.
        timeout = aiohttp.ClientTimeout(
            total=CONNECT_TIMEOUT_S + 2 * read_timeout_s,
            connect=CONNECT_TIMEOUT_S,
            sock_read=read_timeout_s,
        )
        body = _encode(call, fields)
        await self._pace.turn(Priority.POLL)
        answer = await self._send(call, body, timeout)
        token, text = answer.get("taskToken"), answer.get("input")
        if not token:
            return None
        if not isinstance(token, str) or not isinstance(text, str | None):
            raise ServiceUnavailable(f"{call}: the answer is garbled: a field is no string.")
        if "\n" in token:  # what ends it in the store
            raise ServiceUnavailable(f"{call}: the answer is garbled: the token has two lines.")
        return ActivityTask(token, "{}" if text is None else text)

    async def send_task_heartbeat(
        self, token: str, *, urgency: float = 0.0, retry: RetryPolicy | None = None
    ) -> None:
        """Say that the task is being worked on.

        Args:
            token: The task token.
            urgency: While calls are throttled, the heartbeat with the least goes first.
            retry: Instead of the client's ``heartbeat_retry``.

        Raises:
            TokenClosed: Nobody waits for this task any more.
            StepFunctionsError: As of every call.

        Source: botocore stepfunctions 2016-11-23, SendTaskHeartbeat.
        """
        retry = retry or self._heartbeat_retry
        await self._report("SendTaskHeartbeat", token, {}, retry, Priority.HEARTBEAT, urgency)

    async def send_task_success(
        self, token: str, output: str, *, retry: RetryPolicy | None = None
    ) -> None:
        """Deliver an output.

        Args:
            token: The task token.
            output: JSON text, at most 262,144 bytes as UTF-8.
            retry: Instead of the client's ``report_retry``.

        Raises:
            TokenClosed: Too late; or an earlier try arrived, and only its answer was lost.
            InvalidRequest: The output is too large, or no JSON.
            StepFunctionsError: As of every call.

        Source: botocore stepfunctions 2016-11-23, SendTaskSuccess.
        """
        call = "SendTaskSuccess"
        # 4 bytes a character at most: short outputs are not encoded only to be measured.
        if len(output) * 4 > MAX_OUTPUT_BYTES:
            size = len(output.encode("utf-8", "surrogatepass"))
            if size > MAX_OUTPUT_BYTES:
                raise InvalidRequest(
                    f"{call}: the output has {size} bytes as UTF-8, and Step Functions takes at "
                    f"most {MAX_OUTPUT_BYTES}. Store it elsewhere, S3 for example, and return "
                    "where it is."
                )
        await self._report(call, token, {"output": output}, retry or self._report_retry)

    async def send_task_failure(
        self, token: str, *, error: str, cause: str, retry: RetryPolicy | None = None
    ) -> None:
        """Deliver a failure.

        With neither error nor cause it needs no right to the key of an encrypted activity; a
        state's Retry and Catch then match it as ``States.ALL`` or ``States.TaskFailed`` only.

        Args:
            token: The task token.
            error: Error name that Retry and Catch match; cut at 256 characters.
            cause: Human-readable detail; cut at 32,768 characters.
            retry: Instead of the client's ``report_retry``.

        Raises:
            TokenClosed: Too late; or an earlier try arrived, and only its answer was lost.
            StepFunctionsError: As of every call.

        Source: botocore stepfunctions 2016-11-23, SendTaskFailure.
        """
        # An over-long field is refused, and leaves the state hanging until its time-out.
        fields = {"error": cut(error, MAX_ERROR_CHARS), "cause": cut(cause, MAX_CAUSE_CHARS)}
        if not error and not cause:
            fields = {}
        await self._report("SendTaskFailure", token, fields, retry or self._report_retry)

    def _check_region(self, activity_arn: str) -> None:
        arn = parse_arn(activity_arn)
        if arn is not None and arn.region != self.region:
            raise InvalidRequest(
                f"GetActivityTask: activity {arn.name!r} is in {arn.region}, and this process "
                f"talks to {self.region}. Set AWS_REGION={arn.region}, or use the activity of "
                f"{self.region}."
            )

    async def _report(
        self,
        call: str,
        token: str,
        fields: dict[str, str],
        retry: RetryPolicy,
        priority: Priority = Priority.REPORT,
        urgency: float = 0.0,
    ) -> None:
        if not token:
            raise InvalidRequest(f"{call}: the task token is empty.")
        body = _encode(call, {"taskToken": token, **fields})
        now = asyncio.get_running_loop().time
        await self._pace.turn(priority, urgency)
        deadline = now() + retry.within_s
        attempt = 0
        while True:
            attempt += 1
            left_s = min(CALL_TIMEOUT_S, max(deadline - now(), 0.001))
            timeout = aiohttp.ClientTimeout(total=left_s, connect=CONNECT_TIMEOUT_S)
            try:
                await self._send(call, body, timeout, token)
                return
            except (Throttled, ServiceUnavailable) as exc:
                # A connection that the server closed while it was idle: only now did we see it.
                at_once = attempt == 1 and isinstance(exc, ConnectionLost)
                pause_s = 0.0 if at_once else retry.pause_s(attempt, self._uniform)
                if attempt == retry.attempts or now() + pause_s >= deadline:
                    raise
            if not at_once:
                await self._sleep(pause_s)
                await self._pace.turn(priority, urgency)

    async def _send(
        self, call: str, body: bytes, timeout: aiohttp.ClientTimeout, token: str = ""
    ) -> dict[str, Any]:
        """One request, and its answer."""
        credentials = await self._credentials.current()
        broken: ServiceUnavailable
        try:
            async with self._session().post(
                self._url,
                data=body,
                headers=self._signer.headers(call, body, credentials),
                timeout=timeout,
                proxy_headers=self._proxy_headers,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError) as exc:
            broken = no_answer(call, self._connection.endpoint_url, exc)
        else:
            if response.status == 200:
                self._pace.taken()
                return decode(call, content)
            error = refusal(call, response.status, response.headers, content, token=token)
            if isinstance(error, Throttled):
                self._pace.throttled()
                self._on_throttled(call)
            if isinstance(error, CredentialsUnavailable):
                self._credentials.reject(credentials)
            raise error
        raise broken  # not above: aiohttp's exception, with all its headers, would be its context

    def _session(self) -> aiohttp.ClientSession:
        """The connections; made at the first call, where the event loop surely runs."""
        if self._closed:
            raise RuntimeError("this Step Functions client is closed")
        if self._http is None:
            self._http = aiohttp.ClientSession(
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
        return self._http


def _encode(call: str, fields: dict[str, str]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        reason = exc.reason
    # Not above: the context would hold the body, and with it the token.
    raise InvalidRequest(f"{call}: a field cannot be sent as UTF-8: {reason}.")


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
