"""Find the AWS partition of a region (``aws``, ``aws-cn``, ``aws-iso``, ``aws-eusc``, …).

The data are botocore's, which are updated with AWS; there is no network access. They are loaded at
first use, because most processes never build an ARN.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple


class _Partition(NamedTuple):
    name: str
    dns_suffix: str
    regions: frozenset[str]
    form: re.Pattern[str]


@cache
def _known() -> tuple[_Partition, ...]:
    from botocore.loaders import create_loader

    return tuple(
        _Partition(
            name=each["id"],
            dns_suffix=each["outputs"]["dnsSuffix"],
            regions=frozenset(each["regions"]),
            form=re.compile(each["regionRegex"]),
        )
        for each in create_loader().load_data("partitions")["partitions"]
    )


def partition_of(region: str) -> str:
    """The partition that a region belongs to: the second part of its ARNs."""
    return _of(region).name


def dns_suffix_of(region: str) -> str:
    """The domain of a region's endpoints, such as ``amazonaws.com``."""
    return _of(region).dns_suffix


@cache
def _of(region: str) -> _Partition:
    """The partition; ``aws`` for an unknown region, as in botocore's endpoint rules."""
    known = _known()
    for fits in (lambda each: region in each.regions, lambda each: each.form.match(region)):
        if found := next(filter(fits, known), None):
            return found
    return next(each for each in known if each.name == "aws")
