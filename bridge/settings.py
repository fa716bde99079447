"""One frozen, typed model of every setting; read from the environment only.

``BRIDGE_*`` are ours. Celery's variables (``CELERY_BROKER_URL``, ``CELERY_RESULT_BACKEND``) and
AWS's (``AWS_REGION``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL_SFN``, …) keep their standard meaning and
are read by Celery and botocore themselves.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bridge.addresses.service_links import is_service_link, refusal
from bridge.addresses.store_url import parse
from bridge.errors import SettingsError
from bridge.names import check_activity

PREFIX = "BRIDGE_"
DEFAULT_BROKER_URL = "redis://127.0.0.1:6379/0"
_OBJECTS = {"activities": "activity → name of a task", "roles": "account → ARN of a role"}
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/\S+")


class Settings(BaseSettings):
    """The bridge's settings. Durations are seconds (``_s``)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    store_url: str = Field(
        default="", description="Redis of the claims; default: the broker, when that is Redis"
    )
    store_prefix: str = Field(
        default="bridge", pattern=r"^[A-Za-z0-9_.-]{1,40}$", description="prefix of every key"
    )
    tasks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("tasks",), min_length=1, description="modules with tasks, comma-separated"
    )
    activities: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="JSON: activity → name of an existing task"
    )
    roles: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="JSON: account → ARN of the role to assume there"
    )
    lease_s: float = Field(
        default=15.0, ge=1.0, le=300.0, description="a worker unheard of for so long is dead"
    )
    heartbeat_s: float = Field(
        default=20.0, gt=0.0, le=86_400.0, description="between heartbeats, where a task names none"
    )
    tick_s: float = Field(
        default=1.0, ge=0.1, le=60.0, description="between two passes of the beat tasks"
    )
    patience_s: float = Field(
        default=3_600.0,
        ge=1.0,
        le=31_536_000.0,
        description="a queued job's token is kept alive for so long",
    )
    look_ahead: float = Field(
        default=1.25,
        ge=1.0,
        le=4.0,
        description="claims per offered slot, running and waiting, however long jobs take",
    )
    look_ahead_s: float = Field(
        default=0.25,
        ge=0.0,
        le=60.0,
        description="seconds of work that may wait for a slot, where jobs take no longer",
    )
    look_ahead_most: float = Field(
        default=4.0,
        ge=1.0,
        le=64.0,
        description="claims per offered slot that may wait so, at most",
    )
    poll_timeout_s: float = Field(
        default=65.0, ge=65.0, le=120.0, description="socket timeout of a poll; AWS holds it 60 s"
    )
    max_polls_per_activity: int = Field(
        default=100, ge=1, le=1_000, description="open polls of one poller on one activity"
    )
    max_attempts: int = Field(
        default=3, ge=1, le=100, description="runs of one claim when workers die under it"
    )
    log_format: Literal["human", "json"] = Field(
        default="human", description="lines for people, or one JSON object each"
    )
    metrics: Literal["off", "emf", "cloudwatch"] = Field(
        default="off", description="CloudWatch: emf are lines on stdout, cloudwatch PutMetricData"
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65_535, description="Prometheus' port of pollers and beats; 0: none"
    )
    metrics_host: str = Field(
        default="0.0.0.0",  # noqa: S104 (exporters are scraped from elsewhere)
        min_length=1,
        description="address that Prometheus' port listens on",
    )
    concurrent_calls: int = Field(
        default=64, ge=1, le=1_000, description="reports, or heartbeats, at once in one process"
    )
    # bridge.versions reads it, before there are settings; here it is checked and shown.
    optimizations: Literal["on", "off"] = Field(
        default="on", description="what relies on the inside of Celery, kombu and redis-py"
    )

    @field_validator("tasks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("store_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        if value:
            parse(value)
        return value

    @field_validator("activities", "roles", mode="before")
    @classmethod
    def _decode(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict):
            said = _OBJECTS[str(info.field_name)]
            raise ValueError(f"its value must be a JSON object: {said}")  # noqa: TRY004 (pydantic's)
        return decoded

    @field_validator("activities")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for activity in value:
            check_activity(activity)
        return value

    @field_validator("roles")
    @classmethod
    def _roles(cls, value: dict[str, str]) -> dict[str, str]:
        for account, arn in value.items():
            role = _ROLE_ARN.fullmatch(arn)
            if role is None:
                raise ValueError(
                    f"{arn!r}, the role of account {account}, is no ARN of a role: expected "
                    "arn:aws:iam::ACCOUNT:role/NAME"
                )
            if role["account"] != account:
                raise ValueError(
                    f"{arn!r} is a role of account {role['account']}, not of {account!r}: the "
                    "activities of an account can only be called in a role of that account"
                )
        return value

    @model_validator(mode="after")
    def _cross_check(self) -> Settings:
        if self.heartbeat_s < self.tick_s:
            raise ValueError(
                f"BRIDGE_HEARTBEAT_S={self.heartbeat_s:g} is below BRIDGE_TICK_S={self.tick_s:g}: "
                "heartbeats are sent once a tick at most. Use a shorter tick."
            )
        if self.lease_s < 2 * self.tick_s:
            raise ValueError(
                f"BRIDGE_LEASE_S={self.lease_s:g} is below twice BRIDGE_TICK_S={self.tick_s:g}: "
                "a lease would end between two looks at it. Use a longer lease."
            )
        return self

    @property
    def root_key(self) -> str:
        """What every key starts with; a hash tag, so that Redis Cluster keeps them together."""
        return "{" + self.store_prefix + "}"


def is_set(name: str) -> bool:
    """Whether the environment has this setting; reads and checks no other."""
    return f"{PREFIX}{name}".upper() in map(str.upper, os.environ)


def load(
    *,
    derive_store: Callable[[], str] = lambda: DEFAULT_BROKER_URL,
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """Read and check the settings.

    Args:
        derive_store: The URL of the claim store when ``BRIDGE_STORE_URL`` is not set: see
            ``bridge.addresses.broker``.
        env: The environment that is searched for unknown ``BRIDGE_*`` names.

    Raises:
        SettingsError: An unknown name or an impossible value; one line for each.
    """
    _refuse_unknown(env)
    try:
        settings = Settings()
    except ValidationError as exc:
        raise SettingsError("; ".join(_sentence(error) for error in exc.errors())) from None
    if settings.store_url:
        return settings
    return settings.model_copy(update={"store_url": derive_store()})


def _refuse_unknown(env: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(env):
        if not name.startswith(PREFIX):
            continue
        if is_service_link(name, env):
            if name in known:
                raise SettingsError(refusal(name, env[name]))
            continue
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise SettingsError(
            f"{name} is no setting of the bridge, so it would be ignored silently.{hint} "
            f"Known: {', '.join(sorted(known))}."
        )


def _sentence(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {message}"
