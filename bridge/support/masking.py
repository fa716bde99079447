"""Replace secrets in URLs, settings and errors by ``***``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import quote

MASK = "***"
# Up to the last @ before the next URL: a password may hold characters that should be encoded.
_PASSWORD = re.compile(r"(?P<head>[a-z0-9+.-]+://[^:@/\s;,]*):[^\s;,]*@", re.IGNORECASE)
_NAMES = (
    r"[\w-]*(?:passw|passphrase|secret|token|credential|signature|private_?key|api_?key"
    r"|access_?key|account_?key|shared_?key|sas_?key|encryption_?key|auth_?key)[\w-]*"
)
_FIELD = re.compile(rf"(?P<head>[?&]{_NAMES}=)[^&\s;,]*", re.IGNORECASE)
_SECRET = re.compile(rf"{_NAMES}|(?:[\w-]*_)?(?:pass|pwd|pw)", re.IGNORECASE)
_PLAIN = (bool, int, float, type(None))


def mask_url(url: str) -> str:
    """The URL or URLs with passwords replaced by ``***``; a text without a URL becomes ``***``."""
    if "://" not in url:
        return MASK
    return _FIELD.sub(rf"\g<head>{MASK}", _PASSWORD.sub(rf"\g<head>:{MASK}@", url))


def mask_urls(urls: object) -> str:
    """The broker setting (one URL, several, or none) as text, with passwords as ``***``."""
    if urls is None:
        return ""
    if isinstance(urls, str):
        return mask_url(urls)
    return ", ".join(map(mask_urls, urls)) if isinstance(urls, Iterable) else MASK


def masked(value: Any, name: str = "") -> Any:
    """A value as JSON can hold it, with every secret in it replaced, at any depth.

    Args:
        name: The setting's name, which tells whether its value is a secret.
    """
    if name and _SECRET.fullmatch(name) and value not in (None, "", False, True):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): masked(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(each) for each in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return mask_url(value) if "://" in value else value
    # The text of an object may show secrets that it was made of.
    return value if isinstance(value, _PLAIN) else f"<{type(value).__name__}>"


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text with these secrets replaced, whether they are plain or encoded as in a URL."""
    for secret in secrets:
        for form in dict.fromkeys((secret, quote(secret, safe=""))) if secret else ():
            text = text.replace(form, MASK)
    return text
