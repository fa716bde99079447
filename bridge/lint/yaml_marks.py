"""Read YAML with CloudFormation's short tags, and find the position of each value.

Needs PyYAML.
"""

from __future__ import annotations

from typing import Any

import yaml

from bridge.lint.json_marks import Mark
from bridge.lint.json_tree import Pointer

# Nested aliases can stand for more values than fit into memory.
_MOST_MARKS = 500_000


class _Loader(yaml.SafeLoader):
    """A safe loader that reads short tags such as ``!Sub`` as their long forms."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def read_yaml(text: str) -> tuple[Any, dict[Pointer, Mark]]:
    """The value of the first document, and the position of each value in it.

    Raises:
        yaml.YAMLError: The text is not valid YAML; the message says where.
        RecursionError: A value is nested too deeply, or contains itself.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        marks: dict[Pointer, Mark] = {}
        _note(node, (), marks)
        return loader.construct_document(node), marks
    finally:
        loader.dispose()


def _note(node: yaml.Node, at: Pointer, marks: dict[Pointer, Mark]) -> None:
    if len(marks) > _MOST_MARKS:
        return
    start = node.start_mark
    marks.setdefault(
        at,
        Mark(
            line=start.line + 1,
            start=start.index,
            column=start.column,
            literal=_literal(node),
        ),
    )
    if isinstance(node, yaml.SequenceNode):
        for index, each in enumerate(node.value):
            _note(each, (*at, index), marks)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        begin = key.start_mark
        marks[(*at, key.value)] = Mark(
            line=begin.line + 1,
            start=begin.index,
            column=begin.column,
            flow=bool(node.flow_style),
            quoted=key.style == '"',
            literal=_literal(value),
        )
        _note(value, (*at, key.value), marks)


def _literal(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style == "|"
