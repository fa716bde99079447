"""What the loops count, whoever collects it: a method an event, none of which waits or fails.

Nothing here sees a token, an input or an output.
"""

from __future__ import annotations

from bridge.store import EndedClaim

MAX_ERRORS = 100
OTHER = "other"
"""Stands for every error name after the first ``MAX_ERRORS`` of a process."""


class Meters:
    """Counts nothing: what a method costs that a subclass leaves as it is."""

    def polled(self, activity: str, result: str) -> None:
        """A poll returned: ``"task"``, ``"empty"`` or ``"error"``."""

    def claimed(self, activity: str) -> None:
        """A task is stored as a claim."""

    def throttled(self, call: str) -> None:
        """Step Functions refused one call, such as ``"SendTaskHeartbeat"``, as over the quota."""

    def beat(self, activity: str, result: str) -> None:
        """A heartbeat was ``"sent"``, found its token ``"closed"``, or ``"failed"``."""

    def recovered(self, activity: str, action: str) -> None:
        """A claim was found that a dead worker or poller left behind.

        Args:
            action: ``"again"`` it gets another attempt, ``"failed"`` its worker died and it failed,
                ``"dispatched"`` its job is published, ``"published_anew"`` it is published once
                more, ``"given_up"`` no worker held it, its patience was over, and it failed.
        """

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """A claim is closed after its outcome was sent.

        Args:
            error: Error name of a failure; empty: it was a success.
            taken: Whether Step Functions took it; False: the token was closed already.
        """

    def postponed(self, reason: str) -> None:
        """A report did not get through and is tried again; ``reason`` is the kind of exception."""


OFF = Meters()


class Several(Meters):
    """Tells each of several."""

    def __init__(self, *meters: Meters) -> None:
        self._meters = meters

    def polled(self, activity: str, result: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.polled(activity, result)

    def claimed(self, activity: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.claimed(activity)

    def throttled(self, call: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.throttled(call)

    def beat(self, activity: str, result: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.beat(activity, result)

    def recovered(self, activity: str, action: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.recovered(activity, action)

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Tell each."""
        for each in self._meters:
            each.reported(ended, error, taken=taken)

    def postponed(self, reason: str) -> None:
        """Tell each."""
        for each in self._meters:
            each.postponed(reason)


class ErrorNames:
    """Bounds the error names of a process: users choose them, and each one is a series for ever."""

    def __init__(self, most: int = MAX_ERRORS) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, error: str) -> str:
        """The name itself, if it is among the first so many; else ``"other"``."""
        if error in self._known:
            return error
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(error)
        return error
