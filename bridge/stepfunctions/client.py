"""Make the four frequent calls to Step Functions: poll, heartbeat, success, failure (asyncio).

aiohttp sends them, signed as botocore would: that takes a quarter of the CPU of a botocore client
on threads, and a thousand open polls cost no thread. ``payloads`` makes the bodies, ``signed_http``
sends them, ``aws_errors`` says what an answer means, ``pace`` orders calls while Step Functions
throttles.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp

from bridge.errors import InvalidRequest, ServiceUnavailable, Throttled
from bridge.names import parse_arn
from bridge.stepfunctions import payloads
from bridge.stepfunctions.aws import CONNECT_TIMEOUT_S, Connection
from bridge.stepfunctions.aws_errors import ConnectionLost, decode
from bridge.stepfunctions.credentials import SharedCredentials
from bridge.stepfunctions.pace import Pace, Priority
from bridge.stepfunctions.payloads import ActivityTask
from bridge.stepfunctions.signed_http import SignedHttp
from bridge.support.backoff import HEARTBEAT_RETRY, REPORT_RETRY, RetryPolicy, Uniform

CALL_TIMEOUT_S = 10.0
"""How long one request of a heartbeat, a success or a failure may take."""


class StepFunctions:
    """The frequent calls of one region and account, for one event loop.

    Every call raises ``StepFunctionsError``s only; their messages never hold a task token.

    Args:
        connection: Where calls go; by default as the environment says.
        credentials: By default those of the environment.
        heartbeat_retry: How heartbeats are tried again, unless the call says otherwise.
        report_retry: How successes and failures are tried again, unless the call says otherwise.
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
        connection = connection or Connection.from_environment()
        credentials = credentials or SharedCredentials(connection.load_credentials)
        self._http = SignedHttp(connection, credentials, max_connections=max_connections)
        self._region = connection.region
        self._heartbeat_retry = heartbeat_retry
        self._report_retry = report_retry
        self._on_throttled = on_throttled
        self._sleep = sleep
        self._uniform = uniform
        self._pace = Pace()

    @property
    def region(self) -> str:
        """The region of its calls."""
        return self._region

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
        await self._http.close()

    async def get_activity_task(
        self, activity_arn: str, *, worker_name: str, read_timeout_s: float = 65.0
    ) -> ActivityTask | None:
        """Long-poll for one activity task; None when the poll ends empty.

        It is sent once: the caller must finish what a poll returns, so the caller decides about
        the next poll. A poll that is broken off may have taken a task with it.

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
        self._check_region(activity_arn)
        body = payloads.poll_body(activity_arn, worker_name)
        # Beside the socket's timeout: an answer that trickles must end too.
        timeout = aiohttp.ClientTimeout(
            total=CONNECT_TIMEOUT_S + 2 * read_timeout_s,
            connect=CONNECT_TIMEOUT_S,
            sock_read=read_timeout_s,
        )
        await self._pace.turn(Priority.POLL)
        return payloads.task_of(await self._send(payloads.POLL, body, timeout))

    async def send_task_heartbeat(
        self, token: str, *, urgency: float = 0.0, retry: RetryPolicy | None = None
    ) -> None:
        """Say that the task is being worked on.

        Args:
            token: The task token.
            urgency: While calls are throttled, the heartbeat with the least goes first.
            retry: Instead of the client's ``heartbeat_retry``.

        Raises:
            TokenClosed: The task has ended for Step Functions.
            StepFunctionsError: As of every call.

        Source: botocore stepfunctions 2016-11-23, SendTaskHeartbeat.
        """
        await self._send_with_retries(
            payloads.HEARTBEAT,
            payloads.heartbeat_body(token),
            token=token,
            retry=retry or self._heartbeat_retry,
            priority=Priority.HEARTBEAT,
            urgency=urgency,
        )

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
        await self._send_with_retries(
            payloads.SUCCESS,
            payloads.success_body(token, output),
            token=token,
            retry=retry or self._report_retry,
        )

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
        await self._send_with_retries(
            payloads.FAILURE,
            payloads.failure_body(token, error, cause),
            token=token,
            retry=retry or self._report_retry,
        )

    def _check_region(self, activity_arn: str) -> None:
        arn = parse_arn(activity_arn)
        if arn is not None and arn.region != self._region:
            raise InvalidRequest(
                f"{payloads.POLL}: activity {arn.name!r} is in {arn.region}, and this process "
                f"talks to {self._region}. Set AWS_REGION={arn.region}, or use the activity of "
                f"{self._region}."
            )

    async def _send_with_retries(
        self,
        call: str,
        body: bytes,
        *,
        token: str,
        retry: RetryPolicy,
        priority: Priority = Priority.REPORT,
        urgency: float = 0.0,
    ) -> None:
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
                # The server had closed this connection while it was idle, which is seen only now.
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
        try:
            content = await self._http.post(call, body, timeout=timeout, token=token)
        except Throttled:
            self._pace.throttled()
            self._on_throttled(call)
            raise
        self._pace.taken()
        return decode(call, content)
