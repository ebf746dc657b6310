"""YAML text as plain data, with bounds and without surprises.

Scalars follow the core schema of YAML 1.2: `0644` is the number 644 and `yes` a text, as people who write file modes and
commands expect. (YAML 1.1 would make them 420 and true.)
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from headrace.common.text.plain import Place, TextError, WrittenFloat, is_text

MAX_NODES = 5_000
MAX_TOKENS = 20_000
MAX_DEPTH = 50

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"^[-+]?[0-9]{1,4000}$")
_OCTAL = re.compile(r"^0o([0-7]{1,1000})$")
_HEX = re.compile(r"^0x([0-9a-fA-F]{1,1000})$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_SPECIAL = {
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NOT_TEXT = "a NUL, or half of a character", "text"
_STR = "tag:yaml.org,2002:str"


def load_yaml(text: str) -> Any:
    """Parse the one YAML document in `text` (None if it is empty). Raises TextError."""
    return load_yaml_with_places(text)[0]


def load_yaml_with_places(text: str) -> tuple[Any, dict[str, Place]]:
    """Return the same, and the place of each key and list item by its path. Raises TextError."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        place = (mark.line + 1, mark.column + 1) if mark else None
        raise TextError("", f"{where}{error.problem or error.context}", "YAML text, one document", place) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise TextError("", str(error).partition("\n")[0][:200], "YAML text, one document") from None
    if node is None:
        return None, {}
    reader = _Reader()
    return reader.value(node, "", 0), reader.places


class _Loader(yaml.SafeLoader):
    """YAML loader with bounds while scanning: without them its work grows with the square of the depth."""

    _fetched = 0

    def fetch_more_tokens(self) -> None:
        """Scan the next token. Raises TextError at a bound."""
        super().fetch_more_tokens()
        self._fetched += 1
        where = f"line {self.line + 1}: "
        if self._fetched > MAX_TOKENS:
            found = f"{where}more than {MAX_TOKENS} keys, values and marks"
            raise TextError("", found, f"at most {MAX_TOKENS}", self._place())
        if self.flow_level > MAX_DEPTH or len(self.indents) > MAX_DEPTH:
            found = f"{where}nested deeper than {MAX_DEPTH}"
            raise TextError("", found, f"at most {MAX_DEPTH} levels", self._place())

    def _place(self) -> Place:
        return self.line + 1, self.column + 1


class _Reader:
    """Converts YAML nodes to data. Aliases count each time they are used, so a small file cannot expand to a large one."""

    def __init__(self) -> None:
        self._nodes = 0
        self.places: dict[str, Place] = {}

    def value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._nodes += 1
        place = self.places.setdefault(path, _place(node))
        if self._nodes > MAX_NODES:
            raise TextError(path, f"more than {MAX_NODES} values (aliases counted)", f"at most {MAX_NODES}", place)
        if depth > MAX_DEPTH:
            raise TextError(path, f"nested deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels", place)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            if not is_text(str(node.value)):
                raise TextError(path, *_NOT_TEXT, place)
            return _scalar(node)
        raise TextError(path, type(node).__name__, "a mapping, a list or a value", place)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                found = f"line {key_node.start_mark.line + 1}: a key that is not text"
                raise TextError(path, found, "text as key", _place(key_node))
            key = str(key_node.value)
            place = _place(key_node)
            if not is_text(key):
                raise TextError(path, *_NOT_TEXT, place)
            where = f"{path}.{key}" if path else key
            if key == "<<" and key_node.style is None:
                raise TextError(where, "a merge key", "the keys themselves", place)
            if key in result:
                raise TextError(where, f"the key stands twice (again in line {place[0]})", "once", place)
            self.places[where] = place
            result[key] = self.value(value_node, where, depth + 1)
        return result


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None or node.tag == "!" or (node.tag == _STR and _explicit(node)):
        return text
    if _NULL.match(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text in _SPECIAL:
        return _SPECIAL[text]
    return _number(text)


def _explicit(node: yaml.ScalarNode) -> bool:
    """Return True if the tag was written out (`!!str 5`): the text starts after it."""
    mark = node.start_mark
    return bool(mark.buffer is not None and mark.buffer[mark.pointer : mark.pointer + 1] == "!")


def _number(text: str) -> Any:
    if _INT.match(text):
        return int(text)
    if match := _OCTAL.match(text):
        return int(match.group(1), 8)
    if match := _HEX.match(text):
        return int(match.group(1), 16)
    return WrittenFloat(text) if _FLOAT.match(text) else text
