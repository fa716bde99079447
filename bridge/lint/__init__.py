"""A linter of Step Functions definitions that use activities of the bridge.

``lint_definition`` looks at one definition; ``celery -A bridge lint`` at files and at what is
deployed. Everything but ``command``, ``files`` and ``deployed`` is pure.
"""

from bridge.lint.engine import lint_definition
from bridge.lint.model import Finding, Known, Rule, Severity

__all__ = ["Finding", "Known", "Rule", "Severity", "lint_definition"]
