"""Load and refresh AWS credentials for all calls of one event loop.

A refresh may ask an instance, a container, STS or another program, and blocks until it answers. So
one thread does it for all calls that wait. While the old credentials are good, no call waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from bridge.errors import CredentialsUnavailable

PATIENCE_S = 10.0
"""How long one call waits for credentials; the refresh goes on for the next call."""
MARGIN_S = 60.0
"""Credentials that expire within this time are not used, because hosts' clocks differ."""
PAUSE_S = 5.0
"""The least time between two refreshes or loads, if the first brought nothing better."""

Provider = Callable[[], Any]
"""Returns botocore's credentials, or None; may block."""


class SharedCredentials:
    """Hands out frozen credentials, loading and refreshing them off the event loop.

    Args:
        load: Returns the credentials. It is called again if AWS refuses them, since files and roles
            may change while the process runs.
    """

    def __init__(self, load: Provider) -> None:
        self._load = load
        self._credentials: Any | None = None
        self._frozen: Any | None = None
        self._problem = ""
        self._stale = True
        self._pause_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    async def current(self) -> Any:
        """Credentials with ``access_key``, ``secret_key`` and ``token``, good for a minute or more.

        Raises:
            CredentialsUnavailable: There are none, or they expired and cannot be refreshed.
        """
        if not self._stale and self._refreshing is None and not self._expire_within(None):
            return self._frozen
        refreshing = self._refresh()
        # They stay stale until the refresh ends: botocore has the new ones before this class does.
        self._stale = self._stale or self._expire_within(MARGIN_S)
        if not self._stale:
            return self._frozen
        if refreshing is not None:
            # wait, not wait_for: a caller that is cancelled must not cancel the refresh of others.
            done, _ = await asyncio.wait({refreshing}, timeout=PATIENCE_S)
            if not done:
                raise CredentialsUnavailable(
                    f"AWS credentials are not there after {PATIENCE_S:g} s; still waiting for them."
                )
        if self._frozen is None or self._expire_within(0):
            raise CredentialsUnavailable(self._problem or "the AWS credentials have expired.")
        return self._frozen

    def reject(self, refused: Any) -> None:
        """AWS refused these: load again, unless that has just been done."""
        if self._refreshing is not None or refused is not self._frozen:
            return  # other credentials are being loaded, or have been
        if asyncio.get_running_loop().time() >= self._pause_until:
            self._credentials = self._frozen = None
            self._stale = True

    async def close(self) -> None:
        """Stop waiting for a refresh; its thread ends by itself."""
        self._problem = "the client has been closed while it waited for AWS credentials."
        if (refreshing := self._refreshing) is not None:
            refreshing.cancel()
            await asyncio.wait({refreshing})

    def _expire_within(self, seconds: float | None) -> bool:
        """Whether they expire within this time; None: the time at which botocore renews them."""
        needed = getattr(self._credentials, "refresh_needed", None)
        return needed is not None and bool(needed(seconds))

    def _refresh(self) -> asyncio.Task[None] | None:
        """The refresh that runs, which this may start; None: one has just ended."""
        if self._refreshing is None:
            if asyncio.get_running_loop().time() < self._pause_until:
                return None
            self._refreshing = asyncio.create_task(self._fetch())
        return self._refreshing

    async def _fetch(self) -> None:
        try:
            self._frozen = await _in_thread(self._fetch_blocking)
            self._stale, self._problem = False, ""
        except CredentialsUnavailable as exc:
            self._problem = str(exc)
        except Exception as exc:  # noqa: BLE001 (each provider raises what it likes)
            self._problem = f"AWS credentials cannot be refreshed: {type(exc).__name__}: {exc}"
        finally:
            self._refreshing = None
            self._pause_until = asyncio.get_running_loop().time() + PAUSE_S

    def _fetch_blocking(self) -> Any:
        if self._credentials is None:
            credentials = self._load()
            if credentials is None:
                raise CredentialsUnavailable(
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                    "AWS_PROFILE, or give the container or instance a role."
                )
            self._credentials = credentials
        return self._credentials.get_frozen_credentials()


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Like ``asyncio.to_thread``, but in a daemon thread of its own.

    The default executor may be full of threads that wait for a broker, and a refresh that hangs in
    it would keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def deliver(setter: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            setter(value)

    def run() -> None:
        setter: Callable[[Any], None]
        try:
            value, setter = function(), future.set_result
        except Exception as exc:  # noqa: BLE001 (raised where it is awaited)
            value, setter = exc, future.set_exception
        with suppress(RuntimeError):  # the loop is closed, so no call waits
            loop.call_soon_threadsafe(deliver, setter, value)

    threading.Thread(target=run, name="bridge-credentials", daemon=True).start()
    return await future
