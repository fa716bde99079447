"""Read and check the bridge's settings, which are environment variables named ``BRIDGE_*``.

Celery's variables (``CELERY_BROKER_URL``, ``CELERY_RESULT_BACKEND``) and
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
# What the JSON objects map, for messages.
_OBJECTS = {"activities": "activity → name of a task", "roles": "account → ARN of a role"}
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/\S+")


class Settings(BaseSettings):
    """The bridge's settings. Durations are in seconds (``_s``)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    store_url: str = Field(
        default="",
        description="URL of the Redis for claims; default: the broker, if it is Redis",
    )
    store_prefix: str = Field(
        default="bridge",
        pattern=r"^[A-Za-z0-9_.-]{1,40}$",
        description="prefix of every key",
    )
    tasks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("tasks",), min_length=1, description="modules with tasks, comma-separated"
    )
    activities: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="JSON: activity → name of an existing task"
    )
    roles: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="JSON: account → ARN of the role to assume in it",
    )
    lease_s: float = Field(
        default=15.0,
        ge=1.0,
        le=300.0,
        description="lease of a worker; when it is not renewed, the worker counts as dead",
    )
    heartbeat_s: float = Field(
        default=20.0,
        gt=0.0,
        le=86_400.0,
        description="interval between heartbeats, unless the task has a heartbeat option",
    )
    tick_s: float = Field(
        default=1.0,
        ge=0.1,
        le=60.0,
        description="interval between ticks, which start the heartbeat and recovery passes",
    )
    patience_s: float = Field(
        default=3_600.0,
        ge=1.0,
        le=31_536_000.0,
        description="how long to send heartbeats for a job that has not started",
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
        description="seconds of work that may wait for a slot, when jobs are shorter than that",
    )
    look_ahead_most: float = Field(
        default=4.0,
        ge=1.0,
        le=64.0,
        description="most claims per offered slot that may wait because of BRIDGE_LOOK_AHEAD_S",
    )
    poll_timeout_s: float = Field(
        default=65.0,
        ge=65.0,
        le=120.0,
        description="socket timeout of a poll; AWS holds a poll for 60 s",
    )
    max_polls_per_activity: int = Field(
        default=100,
        ge=1,
        le=1_000,
        description="most open polls of one poller for one activity",
    )
    max_attempts: int = Field(
        default=3, ge=1, le=100, description="most runs of one claim whose workers die"
    )
    log_format: Literal["human", "json"] = Field(
        default="human", description="lines for people, or one JSON object a line"
    )
    metrics: Literal["off", "emf", "cloudwatch"] = Field(
        default="off",
        description="metrics to CloudWatch: lines on stdout (emf), or PutMetricData (cloudwatch)",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="port for Prometheus, in pollers and beat processes; 0: none",
    )
    metrics_host: str = Field(
        default="0.0.0.0",  # noqa: S104 (Prometheus runs on another host)
        min_length=1,
        description="address on which the port for Prometheus listens",
    )
    concurrent_calls: int = Field(
        default=64,
        ge=1,
        le=1_000,
        description="most reports, and most heartbeats, that one process sends at once",
    )
    # bridge.versions reads this variable before there are settings; here it is checked and shown.
    optimizations: Literal["on", "off"] = Field(
        default="on",
        description="parts that rely on internals of Celery, kombu and redis-py",
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
            content = _OBJECTS[str(info.field_name)]
            raise ValueError(f"its value must be a JSON object: {content}")  # noqa: TRY004 (pydantic's)
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
                    f"{arn!r}, the role of account {account}, is not the ARN of a role: expected "
                    "arn:aws:iam::ACCOUNT:role/NAME"
                )
            if role["account"] != account:
                raise ValueError(
                    f"{arn!r} is a role of account {role['account']}, not of {account!r}: the "
                    "activities of an account can only be used with a role of that account"
                )
        return value

    @model_validator(mode="after")
    def _cross_check(self) -> Settings:
        if self.heartbeat_s < self.tick_s:
            raise ValueError(
                f"BRIDGE_HEARTBEAT_S={self.heartbeat_s:g} is below BRIDGE_TICK_S={self.tick_s:g}: "
                "heartbeats are sent at most once in each tick interval. Use a shorter one."
            )
        if self.lease_s < 2 * self.tick_s:
            raise ValueError(
                f"BRIDGE_LEASE_S={self.lease_s:g} is below twice BRIDGE_TICK_S={self.tick_s:g}: "
                "a lease would end before it is renewed. Use a longer lease."
            )
        return self

    @property
    def root_key(self) -> str:
        """The start of every key: a hash tag, so that Redis Cluster keeps all keys on one node."""
        return "{" + self.store_prefix + "}"


def is_set(name: str) -> bool:
    """Whether the environment has this setting; no other setting is read or checked."""
    return f"{PREFIX}{name}".upper() in map(str.upper, os.environ)


def load(
    *,
    derive_store: Callable[[], str] = lambda: DEFAULT_BROKER_URL,
    env: Mapping[str, str] = os.environ,
) -> Settings:
    """Read and check the settings.

    Args:
        derive_store: Returns the URL of the claim store when ``BRIDGE_STORE_URL`` is not set; see
            ``bridge.addresses.broker``.
        env: The environment that is searched for unknown ``BRIDGE_*`` names.

    Raises:
        SettingsError: A name is unknown or a value is impossible; the message has every fault.
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
            f"{name} is not a setting of the bridge and would have no effect.{hint} "
            f"Known: {', '.join(sorted(known))}."
        )


def _sentence(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {message}"
