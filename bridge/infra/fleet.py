"""The plain description of a fleet that every generator starts from."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bridge.addresses.partitions import partition_of
from bridge.errors import BridgeError, SettingsError
from bridge.infra.cfn import Value, sub
from bridge.names import check_activity, parse_arn

_FLEET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")
_ACCOUNT = re.compile(r"\d{12}")
_KEY_ARN = re.compile(r"arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+")
# Names of this shape become CamelCase without two of them becoming one.
_PLAIN = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")


class InfraError(BridgeError):
    """What was asked for is more than AWS takes, or than this installation can write."""


@dataclass(frozen=True, slots=True)
class ActivityRef:
    """One activity, as far as its place is known.

    Attributes:
        name: Without the rest of the ARN.
        region: None: the region of the stack.
        account: None: the account of the stack.
        partition: None: the partition of the stack.
        exists: It was given as an ARN: it is used, and never created.
    """

    name: str
    region: str | None = None
    account: str | None = None
    partition: str | None = None
    exists: bool = False

    @classmethod
    def of(cls, given: str, region: str | None, account: str | None) -> ActivityRef:
        """An activity from its name or full ARN; a name lies in ``region`` and ``account``."""
        check_activity(given)
        if parse_arn(given) is None:
            return cls(given, region, account, partition_of(region) if region else None)
        _, partition, _, its_region, its_account, _, name = given.split(":", 6)
        return cls(name, its_region, its_account, partition, exists=True)

    @property
    def literal_arn(self) -> str | None:
        """Its ARN; None while region or account are only known to the stack."""
        if not (self.region and self.account and self.partition):
            return None
        return f"arn:{self.partition}:states:{self.region}:{self.account}:activity:{self.name}"

    @property
    def arn(self) -> Value:
        """Its ARN for a template: what is not known is filled in by CloudFormation."""
        return self.literal_arn or sub(self.arn_text)

    @property
    def arn_text(self) -> str:
        """Its ARN as text for ``Fn::Sub``."""
        partition = self.partition or "${AWS::Partition}"
        region = self.region or "${AWS::Region}"
        account = self.account or "${AWS::AccountId}"
        return f"arn:{partition}:states:{region}:{account}:activity:{self.name}"

    @property
    def logical_id(self) -> str:
        """Name of its resource in a template; depends on nothing but the activity.

        A logical ID must never change: CloudFormation would replace the activity.
        """
        camel = "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", self.name))
        if _PLAIN.fullmatch(self.name) and not self.exists:
            return camel
        full = self.arn_text if self.exists else self.name
        return camel + hashlib.sha256(full.encode()).hexdigest()[:8].upper()


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything the generators know.

    Attributes:
        name: Prefix of stacks, alarms and the dashboard.
        activities: At least one; sorted by name.
        region: None: that of the stack.
        account: None: that of the stack.
        image: Container image in ECR; None makes it a required parameter.
        tags: Of every resource that can have some.
        kms_key_arn: Encrypts the activities' inputs; None leaves that to AWS's own key.
        dimensions: Of the fleet-wide metrics, see ``bridge.infra.metrics``.
        existing_vpc: Take VPC and subnets as parameters instead of creating them.
        app: What ``celery -A`` is given.
    """

    name: str
    activities: tuple[ActivityRef, ...]
    region: str | None = None
    account: str | None = None
    image: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key_arn: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    existing_vpc: bool = False
    app: str = "bridge"

    def __post_init__(self) -> None:
        if not self.activities:
            raise SettingsError(
                "No activity: give one with --activity, or register a task for one."
            )
        _check(_FLEET_NAME, "--name", self.name, "letters, digits and -, at most 40")
        _check(_REGION, "--region", self.region, "a region such as eu-west-1")
        _check(_ACCOUNT, "--account", self.account, "12 digits")
        _check(_KEY_ARN, "--kms-key-arn", self.kms_key_arn, "the ARN of a key: policies name it")
        ids = Counter(each.logical_id for each in self.activities)
        if twice := sorted(each.name for each in self.activities if ids[each.logical_id] > 1):
            raise SettingsError(f"activity {twice[0]!r} is given twice.")

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        *,
        name: str = "bridge",
        region: str | None = None,
        account: str | None = None,
        image: str | None = None,
        tags: Mapping[str, str] | None = None,
        kms_key_arn: str | None = None,
        dimensions: Mapping[str, str] | None = None,
        existing_vpc: bool = False,
        app: str = "bridge",
    ) -> Fleet:
        """A fleet from the names or ARNs of its activities.

        Raises:
            SettingsError: No activity, one given twice, or a value that AWS would not take.
        """
        _check(_REGION, "--region", region, "a region such as eu-west-1")
        found = [ActivityRef.of(each, region, account) for each in dict.fromkeys(names)]
        return cls(
            name,
            tuple(sorted(found, key=lambda each: (each.name, each.arn_text))),
            region,
            account,
            image,
            dict(tags or {}),
            kms_key_arn,
            dict(dimensions or {}),
            existing_vpc,
            app,
        )

    @property
    def all_tags(self) -> dict[str, str]:
        """The given tags, and one that names the fleet."""
        return {"Fleet": self.name, **self.tags}


def _check(pattern: re.Pattern[str], option: str, value: str | None, wanted: str) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise SettingsError(f"{option} {value!r} is wrong; it must be {wanted}.")
