"""Step Functions' calls with each refusal counted, those that are tried again in there included."""

from __future__ import annotations

from typing import Any

from bridge.errors import Throttled
from bridge.metrics.meters import Meters
from bridge.stepfunctions import Connection, StepFunctions


class CountedStepFunctions(StepFunctions):
    """A client that tells ``meters`` when a call is throttled.

    Args:
        connection: Where calls go; by default what the environment says.
    """

    def __init__(self, meters: Meters, connection: Connection | None = None) -> None:
        super().__init__(connection)
        self._meters = meters

    async def _send(self, call: str, body: bytes, timeout: Any, token: str = "") -> dict[str, Any]:
        try:
            return await super()._send(call, body, timeout, token)
        except Throttled:
            self._meters.throttled(call)
            raise
