"""The description of a fleet from which every template and policy is generated."""

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
# Two different names of this form never have the same CamelCase.
_PLAIN = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")


class InfraError(BridgeError):
    """The result would exceed a limit of AWS, or cannot be written by this installation."""


@dataclass(frozen=True, slots=True)
class ActivityRef:
    """An activity, with its region, account and partition where they are known.

    Attributes:
        name: Name of the activity, without the rest of the ARN.
        region: None: the region of the stack.
        account: None: the account of the stack.
        partition: None: the partition of the stack.
        exists: Whether it was given as an ARN: then it is used, and not created.
    """

    name: str
    region: str | None = None
    account: str | None = None
    partition: str | None = None
    exists: bool = False

    @classmethod
    def of(cls, given: str, region: str | None, account: str | None) -> ActivityRef:
        """Read an activity name, which is in ``region`` and ``account``, or a full ARN."""
        check_activity(given)
        if parse_arn(given) is None:
            partition = partition_of(region) if region else None
            return cls(name=given, region=region, account=account, partition=partition)
        _, partition, _, region, account, _, name = given.split(":", 6)
        return cls(name=name, region=region, account=account, partition=partition, exists=True)

    @property
    def literal_arn(self) -> str | None:
        """Its ARN; None when only the stack knows the region or the account."""
        if not (self.region and self.account and self.partition):
            return None
        return f"arn:{self.partition}:states:{self.region}:{self.account}:activity:{self.name}"

    @property
    def arn(self) -> Value:
        """Its ARN for a template; CloudFormation fills in the unknown parts."""
        return self.literal_arn or sub(self.arn_text)

    @property
    def arn_text(self) -> str:
        """Its ARN as a text for ``Fn::Sub``."""
        partition = self.partition or "${AWS::Partition}"
        region = self.region or "${AWS::Region}"
        account = self.account or "${AWS::AccountId}"
        return f"arn:{partition}:states:{region}:{account}:activity:{self.name}"

    @property
    def logical_id(self) -> str:
        """The name of its resource in a template, which depends on the activity alone.

        A logical ID must never change, because CloudFormation would then replace the activity.
        """
        camel = "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", self.name))
        if _PLAIN.fullmatch(self.name) and not self.exists:
            return camel
        full = self.arn_text if self.exists else self.name
        return camel + hashlib.sha256(full.encode()).hexdigest()[:8].upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The activities of a fleet, and the options of ``celery -A bridge infra``.

    Attributes:
        name: Prefix of the names of stacks, alarms and the dashboard.
        activities: At least one, sorted by name.
        region: None: the region of the stack.
        account: None: the account of the stack.
        image: Container image in ECR; None: a required parameter of the template.
        tags: Tags of every resource that can have tags.
        kms_key_arn: KMS key that encrypts the activities' data; None: a key that AWS owns.
        dimensions: Dimensions of the fleet-wide metrics; see ``bridge.infra.metrics``.
        existing_vpc: Whether VPC and subnets are parameters of the template, instead of created.
        app: The app that is given to ``celery -A``.
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
                "There are no activities: give one with --activity, or register a task for one."
            )
        _check(_FLEET_NAME, "--name", self.name, "letters, digits and -, at most 40")
        _check(_REGION, "--region", self.region, "a region such as eu-west-1")
        _check(_ACCOUNT, "--account", self.account, "12 digits")
        _check(_KEY_ARN, "--kms-key-arn", self.kms_key_arn, "the ARN of a key, which policies need")
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
        """Make a fleet from the names or ARNs of its activities.

        Raises:
            SettingsError: No activity is given, one is given twice, or AWS would refuse a value.
        """
        _check(_REGION, "--region", region, "a region such as eu-west-1")
        found = [ActivityRef.of(each, region, account) for each in dict.fromkeys(names)]
        return cls(
            name=name,
            activities=tuple(sorted(found, key=lambda each: (each.name, each.arn_text))),
            region=region,
            account=account,
            image=image,
            tags=dict(tags or {}),
            kms_key_arn=kms_key_arn,
            dimensions=dict(dimensions or {}),
            existing_vpc=existing_vpc,
            app=app,
        )

    @property
    def all_tags(self) -> dict[str, str]:
        """The given tags, and a tag with the name of the fleet."""
        return {"Fleet": self.name, **self.tags}


def _check(pattern: re.Pattern[str], option: str, value: str | None, wanted: str) -> None:
    if value is not None and not pattern.fullmatch(value):
        raise SettingsError(f"{option} {value!r} is wrong; it must be {wanted}.")
