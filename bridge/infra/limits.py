"""Refuse templates that exceed a limit of CloudFormation.

Source: CloudFormation's quotas: 500 resources, 200 outputs, 200 parameters, 1 MB a template.
"""

from __future__ import annotations

import json

from bridge.infra.cfn import Json
from bridge.infra.fleet import InfraError

MAX_BYTES = 1_000_000
MAX_RESOURCES = 500
MAX_OUTPUTS = 200
MAX_PARAMETERS = 200


def check_template(template: Json, *, activities: int) -> Json:
    """Return the template if it is within the limits.

    Raises:
        InfraError: It is too large; the message says what to do.
    """
    counts = (
        ("Resources", MAX_RESOURCES),
        ("Outputs", MAX_OUTPUTS),
        ("Parameters", MAX_PARAMETERS),
    )
    for section, limit in counts:
        if (count := len(template.get(section, {}))) > limit:
            _refuse(f"{count} {section.lower()}", f"{limit}", activities)
    if (size := len(json.dumps(template, indent=2).encode())) > MAX_BYTES:
        _refuse(f"{size:,} bytes", f"{MAX_BYTES:,}", activities)
    return template


def _refuse(found: str, limit: str, activities: int) -> None:
    raise InfraError(
        f"The template for {activities} activities has {found}; CloudFormation takes {limit} at "
        "most. Run the command several times, each with its own --name and some of the activities "
        "(--activity)."
    )
