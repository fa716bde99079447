"""Change the class of one object to a subclass, and leave all others of its class alone.

Celery and kombu make the objects, of classes that an app or a broker URL may choose. The bridge
puts a class of its own in front of the one that it finds.
"""

from __future__ import annotations

from typing import Any

_made: dict[tuple[type[Any], ...], type[Any]] = {}


def change_class(instance: Any, front: type[Any]) -> None:
    """Put ``front`` before the class of ``instance``; harmless when repeated."""
    instance.__class__ = in_front_of(type(instance), front)


def in_front_of(base: type[Any], *fronts: type[Any]) -> type[Any]:
    """A subclass of all of these, ``fronts`` first; ``base`` itself if it has one of them."""
    if issubclass(base, fronts):
        return base
    key = (base, *fronts)
    if key not in _made:
        _made[key] = type(base.__name__, (*fronts, base), {"__module__": fronts[0].__module__})
    return _made[key]
