"""The events that the loops count: one method for each event, which neither waits nor fails.

No method is given a task token, an input or an output.
"""

from __future__ import annotations

from typing import Literal

from bridge.store import EndedClaim

PollResult = Literal["task", "empty", "error"]
HeartbeatResult = Literal["sent", "closed", "failed"]

MAX_ERRORS = 100
OTHER = "other"
"""Replaces every error name after the first ``MAX_ERRORS`` of a process."""


class Meters:
    """The events. This class counts nothing; subclasses count what they publish."""

    def polled(self, activity: str, result: PollResult) -> None:
        """A poll returned."""

    def claimed(self, activity: str) -> None:
        """An activity task has been stored as a claim."""

    def throttled(self, call: str) -> None:
        """Step Functions throttled a call, such as ``"SendTaskHeartbeat"``."""

    def heartbeat(self, activity: str, result: HeartbeatResult) -> None:
        """A heartbeat was sent, found its token closed, or failed."""

    def recovered(self, activity: str, action: str) -> None:
        """Recovery found a claim that a dead worker or poller left behind.

        Args:
            action: What was done. ``"again"``: the claim gets another attempt. ``"failed"``: its
                worker died, and it failed. ``"dispatched"``: its job is published.
                ``"published_anew"``: its job had not started, and is published once more.
                ``"given_up"``: no worker held it and its patience was over, so it failed.
        """

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """A claim has been closed after its outcome was sent.

        Args:
            error: Error name of a failure; empty for a success.
            taken: Whether Step Functions took the outcome; False if the token was already closed.
        """

    def postponed(self, reason: str) -> None:
        """A report failed and will be tried again; ``reason`` is the kind of exception."""


OFF = Meters()


class Several(Meters):
    """Passes each event to several meters."""

    def __init__(self, *meters: Meters) -> None:
        self._meters = meters

    def polled(self, activity: str, result: PollResult) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.polled(activity, result)

    def claimed(self, activity: str) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.claimed(activity)

    def throttled(self, call: str) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.throttled(call)

    def heartbeat(self, activity: str, result: HeartbeatResult) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.heartbeat(activity, result)

    def recovered(self, activity: str, action: str) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.recovered(activity, action)

    def reported(self, ended: EndedClaim, error: str, *, taken: bool) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.reported(ended, error, taken=taken)

    def postponed(self, reason: str) -> None:
        """Pass the event on."""
        for each in self._meters:
            each.postponed(reason)


class ErrorNames:
    """Bounds the number of error names: users choose them, and each becomes a series."""

    def __init__(self, most: int = MAX_ERRORS) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, error: str) -> str:
        """The name itself if it is among the first ``most``; else ``"other"``."""
        if error in self._known:
            return error
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(error)
        return error
