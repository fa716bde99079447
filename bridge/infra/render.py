"""Write a template or a policy as JSON or YAML."""

from __future__ import annotations

import json
from typing import Any, Literal

from bridge.infra.cfn import Json
from bridge.infra.fleet import InfraError

Format = Literal["json", "yaml"]


def render(made: Json, form: Format) -> str:
    """The text, with members in their order, and with a line end.

    Raises:
        InfraError: The format is YAML, and PyYAML is not installed.
    """
    if form == "json":
        return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    try:
        import yaml
    except ModuleNotFoundError:
        raise InfraError(
            "YAML needs PyYAML: pip install 'celery-stepfunctions[infra]', or use --format json, "
            "which CloudFormation also takes."
        ) from None

    class Plain(yaml.SafeDumper):
        """A dumper without anchors, which CloudFormation does not always read."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    text: str = yaml.dump(made, Dumper=Plain, sort_keys=False, width=100, allow_unicode=True)
    return text
