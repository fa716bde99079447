"""Find the region and account of an activity, and the client that calls there.

An activity that is registered by its name is in the region and account of the process ("home"). One
that is registered by its full ARN is in the region and account of that ARN; another account is
called in the role that ``BRIDGE_ROLES`` names for it. Each place, that is each region and account,
has a client of its own, because AWS counts quotas and throttles per region and account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.names import parse_arn
from bridge.stepfunctions.aws import Connection
from bridge.stepfunctions.client import StepFunctions


@dataclass(frozen=True, slots=True)
class AwsPlace:
    """A region and account that calls go to.

    Attributes:
        region: Empty: the process's own.
        account: The account whose role is assumed; empty: no role is.
    """

    region: str = ""
    account: str = ""

    def __str__(self) -> str:
        """As in keys of the store; empty for home."""
        return f"{self.region}/{self.account}" if self.region or self.account else ""


HOME = AwsPlace()


class Places:
    """Knows the place of each activity, and the connection to each place.

    Args:
        roles: Account → ARN of the role to assume there.

    Raises:
        SettingsError: The environment names no region, or something impossible.
    """

    def __init__(self, roles: Mapping[str, str] | None = None) -> None:
        self._roles = roles or {}
        self._connections = {HOME: Connection.from_environment()}

    def of(self, activity: str) -> AwsPlace:
        """The place of an activity, by its name or ARN as registered."""
        arn = parse_arn(activity)
        if arn is None:
            return HOME
        account = arn.account if arn.account in self._roles else ""
        if not account and arn.region == self._connections[HOME].region:
            return HOME
        return AwsPlace(arn.region, account)

    def connection(self, place: AwsPlace = HOME) -> Connection:
        """The connection to a place.

        Raises:
            SettingsError: AWS has no such region.
        """
        if place not in self._connections:
            role_arn = self._roles.get(place.account)
            self._connections[place] = Connection.from_environment(place.region, role_arn)
        return self._connections[place]


class Clients:
    """One client of the frequent calls for each place, made when it is first needed.

    Belongs to one event loop.

    Args:
        on_throttled: Called with the name of each call that is refused as throttled.
    """

    def __init__(
        self, places: Places, *, on_throttled: Callable[[str], None] = lambda call: None
    ) -> None:
        self._places = places
        self._on_throttled = on_throttled
        self._clients: dict[AwsPlace, StepFunctions] = {}

    def of(self, activity: str) -> StepFunctions:
        """The client for an activity, by its name or ARN as registered.

        Raises:
            SettingsError: AWS has no region as in its ARN.
        """
        place = self._places.of(activity)
        if place not in self._clients:
            self._clients[place] = StepFunctions(
                self._places.connection(place), on_throttled=self._on_throttled
            )
        return self._clients[place]

    @property
    def throttled(self) -> list[str]:
        """Places where a call was throttled within the last two seconds, as ``place_of``."""
        return [str(place) for place, client in self._clients.items() if client.throttled_recently]

    def place_of(self, activity: str) -> str:
        """The place of an activity, as in keys of the store."""
        return str(self._places.of(activity))

    async def close(self) -> None:
        """Close all connections; open polls end as ServiceUnavailable, and their tasks are lost."""
        for client in self._clients.values():
            await client.close()
