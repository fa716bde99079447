"""Poll and report over signed HTTP, and do nothing else; arguments: ``ARN LOOPS``.

Like the bridge's client it uses aiohttp and botocore's SigV4Auth; it has no checks, no retries and
no heartbeats. The signing is not imported from the bridge, because the floor must not change when
the bridge does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials

from bench.job_functions import noop

URL = os.environ.get("AWS_ENDPOINT_URL_SFN", "")
REGION = os.environ.get("AWS_REGION", "")


class _Headers(dict[str, str]):
    def get_all(self, name: str) -> tuple[str]:
        return (self[name],)


class _Auth(SigV4Auth):  # type: ignore[misc]
    # botocore copies the headers into an e-mail message, which takes half of a signature's time.
    def headers_to_sign(self, request: _Request) -> _Headers:
        return _Headers((name.lower(), value) for name, value in request.headers.items())


class _Request:
    def __init__(self, call: str, body: bytes, host: str) -> None:
        self.method, self.url, self.body = "POST", URL, body
        self.params: dict[str, str] = {}
        self.context: dict[str, Any] = {}
        self.headers = {
            "Host": host,
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AWSStepFunctions.{call}",
        }


class Client:
    """Signed calls over one session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        keys = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        self._auth = _Auth(Credentials(*keys).get_frozen_credentials(), "states", REGION)
        self._session = session
        self._host = URL.partition("://")[2]

    async def call(self, name: str, fields: dict[str, str]) -> dict[str, Any]:
        body = json.dumps(fields).encode()
        request = _Request(name, body, self._host)
        self._auth.add_auth(request)
        async with self._session.post(URL, data=body, headers=request.headers) as response:
            answer: dict[str, Any] = json.loads(await response.read())
        if response.status != 200:
            raise RuntimeError(answer)
        return answer


async def loop(client: Client, arn: str) -> None:
    while True:
        task = await client.call("GetActivityTask", {"activityArn": arn, "workerName": "raw"})
        if token := task.get("taskToken"):
            output = json.dumps(noop(json.loads(task["input"])))
            await client.call("SendTaskSuccess", {"taskToken": token, "output": output})


async def main(arn: str, loops: int) -> None:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(sock_read=65),
        skip_auto_headers=("Accept", "Accept-Encoding"),
    ) as session:
        client = Client(session)
        print("polls", flush=True)
        await asyncio.gather(*(loop(client, arn) for _ in range(loops)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
