"""Run the scripts of ``bridge/lua``, by their digests.

Those that an event loop calls at once share a round trip: under load most of what a script costs
its caller is the way there and back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from bridge.batches import Batcher
from bridge.settings import Settings
from bridge.store.connection import connect, connect_async, translated

MAX_BATCH = 100
"""Scripts of one round trip: no answer waits for many others."""

APART_S = 0.002
"""From one round trip to the next, while calls come faster: a busy loop makes half as many."""

Arg = str | int | float


class Script(NamedTuple):
    """The source of a script, and the digest that the server knows it by."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """``bridge/lua/<name>.lua``, after the prelude that all of them share."""
    folder = files("bridge") / "lua"
    text = "".join((folder / f"{part}.lua").read_text("utf-8") for part in ("_prelude", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """The scripts, blocking; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.redis = connect(settings)

    def call(self, name: str, *args: Arg) -> Any:
        """The answer of a script.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        text, sha = script(name)
        with translated(self._settings):
            try:
                return self.redis.evalsha(sha, 1, self._settings.root_key, *args)
            except NoScriptError:
                return self.redis.eval(text, 1, self._settings.root_key, *args)


class _Call(NamedTuple):
    name: str
    args: tuple[Arg, ...]


class AsyncScripts:
    """The scripts, asyncio: those that are called while a round trip is on share the next.

    Belongs to the event loop that first uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
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
        for name, args in calls:
            pipe.evalsha(script(name).sha, 1, self._settings.root_key, *args)
        answers: list[Any] = await pipe.execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                answers[place] = await self._answer(calls[place])
        return answers

    async def _answer(self, call: _Call) -> Any:
        text, sha = script(call.name)
        try:
            return await self.redis.evalsha(sha, 1, self._settings.root_key, *call.args)
        except NoScriptError:
            return await self.redis.eval(text, 1, self._settings.root_key, *call.args)
