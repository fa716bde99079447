"""Run the scripts of ``bridge/store/lua``, by their digests.

Simultaneous calls of an event loop, or of a pool's threads, are sent in one round trip: under load
most of the cost of a call is the round trip.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from bridge.addresses.store_url import Kind, parse
from bridge.settings import Settings
from bridge.store.connection import TRIES, connect, connect_async
from bridge.store.schema import SCHEMA
from bridge.store.translation import translated
from bridge.support.batching import Batcher, Gap

MAX_BATCH = 100
"""How many scripts one round trip has at most, so that no answer waits for many others."""

APART_S = 0.002
"""Pause between two round trips while several calls come at once: a busy process makes half as many
round trips. A call that comes alone does not wait."""

Arg = str | int | float


class Script(NamedTuple):
    """The source of a script, and the digest that the server knows it by."""

    text: str
    sha: str


_SHARED = ("_prelude", "_ledger", "_claims")
_ROOM = ("_classes", "_flow", "_look_ahead", "_polls")
_ROOM_READERS = ("grant_polls", "read_room")


@cache
def script(name: str) -> Script:
    """``bridge/store/lua/<name>.lua``, after the schema and the parts that scripts share."""
    folder = files("bridge.store") / "lua"
    parts = (*_SHARED, *(_ROOM if name in _ROOM_READERS else ()), name)
    text = f"local schema = '{SCHEMA}'\n"
    text += "".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def keys_of(settings: Settings) -> tuple[str, ...]:
    """The keys that a script is called with: the root.

    In a Redis Cluster there is a second key, which never exists. While the slot moves, key by key,
    a node refuses a script if it has only some of the keys (TRYAGAIN). With the root as its only
    key, a script would run until it needs a claim that has moved already.
    """
    root = settings.root_key
    if parse(settings.store_url).kind is Kind.CLUSTER:
        return root, f"{root}:claim:"  # named as a claim's key, to which every user has the right
    return (root,)


def ms(seconds: float) -> int:
    """Seconds as whole milliseconds, the unit of the scripts."""
    return round(seconds * 1000)


class Scripts:
    """The scripts, blocking; safe to use from several threads.

    Args:
        timeout_s: See ``connect``.
        tries: See ``connect``.
    """

    def __init__(
        self, settings: Settings, *, timeout_s: float | None = None, tries: int = TRIES
    ) -> None:
        self._settings = settings
        self._keys = keys_of(settings)
        self.redis = connect(settings, timeout_s=timeout_s, tries=tries)

    def call(self, name: str, *args: Arg) -> Any:
        """The answer of a script.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        text, sha = script(name)
        with translated(self._settings):
            try:
                return self.redis.evalsha(sha, len(self._keys), *self._keys, *args)
            except NoScriptError:
                return self.redis.eval(text, len(self._keys), *self._keys, *args)


class _Call(NamedTuple):
    name: str
    args: tuple[Arg, ...]


def _put(calls: Sequence[_Call], pipe: Any, keys: tuple[str, ...]) -> None:
    """Add these calls to a pipeline of redis-py, blocking or asyncio."""
    for name, args in calls:
        pipe.evalsha(script(name).sha, len(keys), *keys, *args)


class _Caller:
    """A thread that waits for the answer of a script, or for its turn to send several calls."""

    __slots__ = ("answer", "call", "turn")

    def __init__(self, name: str, args: tuple[Arg, ...]) -> None:
        self.call = _Call(name, args)
        self.turn = threading.Lock()
        self.turn.acquire()
        self.answer: list[Any] = []
        """One element, or none yet. An exception is raised in the thread that waits."""


class SharedScripts(Scripts):
    """The scripts for the threads of one process; calls made during a round trip share the next.

    One thread sends the calls of all that wait. The main thread sends its own calls only: a signal
    handler may raise there, and the turn to send must not get lost.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()
        self._waiting: deque[_Caller] = deque()
        self._sending = False
        self._gap = Gap(APART_S)

    def call(self, name: str, *args: Arg) -> Any:
        """The answer of a script.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        if threading.current_thread() is threading.main_thread():
            return super().call(name, *args)
        me = _Caller(name, args)
        with self._lock:
            self._waiting.append(me)
            mine, self._sending = not self._sending, True
        if not mine:
            me.turn.acquire()
        if not me.answer:
            self._send()
        with translated(self._settings):
            (answer,) = me.answer
            if isinstance(answer, Exception):
                raise answer
            return answer

    def _send(self) -> None:
        """Send the calls of all threads that wait; then pass the turn to the next such thread."""
        if wait_s := self._gap.left_s:
            time.sleep(wait_s)
        with self._lock:
            callers = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        if len(callers) > 1:
            self._gap.begin()
        try:
            answers = self._answers([caller.call for caller in callers])
        except Exception as exc:  # noqa: BLE001 (raised in the threads that wait)
            answers = [exc] * len(callers)
        for caller, answer in zip(callers, answers, strict=True):
            caller.answer.append(answer)
            caller.turn.release()
        with self._lock:
            self._sending = bool(self._waiting)
            if self._sending:
                self._waiting[0].turn.release()

    def _answers(self, calls: Sequence[_Call]) -> list[Any]:
        if len(calls) == 1:
            return [super().call(calls[0].name, *calls[0].args)]
        pipe = self.redis.pipeline(transaction=False)
        _put(calls, pipe, self._keys)
        answers: list[Any] = pipe.execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[place] = super().call(calls[place].name, *calls[place].args)
        return answers


class AsyncScripts:
    """The scripts, asyncio; calls made during a round trip share the next.

    Belongs to the event loop that first uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = keys_of(settings)
        self.redis = connect_async(settings)
        self._batches = Batcher(self._answers, most=MAX_BATCH, apart_s=APART_S)

    async def call(self, name: str, *args: Arg) -> Any:
        """The answer of a script.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        with translated(self._settings):
            return await self._batches(_Call(name, args))

    async def _answers(self, calls: Sequence[_Call]) -> list[Any]:
        if len(calls) == 1:
            return [await self._answer(calls[0])]
        pipe = self.redis.pipeline(transaction=False)
        _put(calls, pipe, self._keys)
        answers: list[Any] = await pipe.execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[place] = await self._answer(calls[place])
        return answers

    async def _answer(self, call: _Call) -> Any:
        text, sha = script(call.name)
        try:
            return await self.redis.evalsha(sha, len(self._keys), *self._keys, *call.args)
        except NoScriptError:
            return await self.redis.eval(text, len(self._keys), *self._keys, *call.args)
