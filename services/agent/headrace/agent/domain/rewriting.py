"""Making a definition that was written for a container work in a plain process: ports and paths in its words.

The program must listen on the host port that the agent chose, and finds `/models`, `/home/work` and other mounts inside
its work folder. `{port}` and `{model_path}` always work. Where a command has no `{port}`, its literal port number is
replaced too (as a whole word: `8000`, `--port=8000`, `0.0.0.0:8000`, never a part of a longer number); paths are replaced
where they begin a word or follow a separator, and end there or go on with `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BEFORE = r"(?<![\w./-])"
_AFTER = r"(?=/|$|[^\w./-])"


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What stands for what. On Docker there is nothing to move: only the two placeholders are filled."""

    port: int
    """The port that the program must use."""
    model_path: str
    """The model's path as the program sees it."""
    literal_port: int | None = None
    """A literal port number to be replaced by `port`."""
    paths: tuple[tuple[str, str], ...] = ()
    """Prefix inside the container → prefix here."""

    def command(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the command's words, rewritten."""
        given = tuple(words)
        literal = self.literal_port if not any("{port}" in word for word in given) else None
        return tuple(self._word(word, literal) for word in given)

    def environ(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the variables with paths rewritten; numbers are left alone, for they may mean anything."""
        return {name: self.text(value) for name, value in values.items()}

    def text(self, value: str) -> str:
        """Return `value` with its paths rewritten."""
        if not self.paths:
            return value
        places = dict(self.paths)
        longest_first = sorted(places, key=len, reverse=True)
        pattern = f"{_BEFORE}({'|'.join(re.escape(path) for path in longest_first)}){_AFTER}"
        return re.sub(pattern, lambda match: places[match.group(1)], value)

    def _word(self, word: str, literal: int | None) -> str:
        word = self.text(word)
        if literal is not None:
            word = re.sub(rf"(?<![\w.]){literal}(?![\w.])|(?<=^-[a-zA-Z]){literal}$", str(self.port), word)
        return word.replace("{port}", str(self.port)).replace("{model_path}", self.model_path)
