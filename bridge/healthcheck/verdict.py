"""What a check raises if it does not find the process healthy."""

from __future__ import annotations


class Unhealthy(Exception):
    """The process does not do its work. The message says how that shows."""


class Unknown(Exception):
    """The check cannot tell, so the process counts as healthy."""
