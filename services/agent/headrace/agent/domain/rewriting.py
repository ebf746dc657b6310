"""Command rewriting: runs a definition that was written for a container as a plain process, with other ports and paths.

The program must listen on the host port that the agent chose, and finds `/models`, `/home/work` and other mounts inside
its work folder. `{port}` and `{model_path}` always work. Where a command has no `{port}`, its literal port number is
replaced where a port stands, and nowhere else (`--max-model-len 8000` stays):

- the word after `--port`, `--http-port`, `-p`, `--listen`, `--bind`, `-b`, … or after `=` behind one of them, `-p8000`;
- after a host and a colon: `0.0.0.0:8000`, `localhost:8000`, `[::]:8000`, `:8000`, also in a URL;
- `PORT=8000` and `…_PORT=8000`;
- the last word of all, where it is that number alone (`python -m http.server 8000`);
- in a shell's script (`sh -c "…"`), by the same rules for its words.

Paths are replaced where they begin a word or follow a separator, and end there or go on with `/`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_BEFORE = r"(?<![\w./-])"
_AFTER = r"(?=/|$|[^\w./-])"
_PORT_OPTION = re.compile(r"--?(?:[a-z0-9]+[-_.])*(?:port|listen|bind|address|addr)|-[pPbl]", re.IGNORECASE)
"""Option whose value is a port, or a host and a port."""
_OTHER_OPTION = re.compile(
    r"--?(?!(?:[a-z0-9]+[-_.])*(?:port|listen|bind|address|addr)$)[a-zA-Z][\w.-]+|-[^pPbl]", re.IGNORECASE
)
"""Option whose value is not a port: the word after it is not replaced."""
_PORT_INSIDE = re.compile(
    r"""(^["']?(?:--?(?:[a-z0-9]+[-_.])*(?:port|listen|bind|address|addr)=|-[pPbl]=?|(?:[A-Z0-9]+_)*PORT="""
    r"""|(?:--?[\w.-]+=)?(?:[a-z]+://)?(?:\[[0-9a-f:]+\]|[a-z0-9.*-]*):))([0-9]+)(?=["']?$|/)""",
    re.IGNORECASE,
)
"""Prefix of a port inside a word, and the number."""
_SCRIPT_OPTIONS = frozenset({"-c", "-lc", "-ec"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "busybox"})
_COMMANDS = re.compile(r"([;&|\n]+)")
_WORDS = re.compile(r"(\s+)")


@dataclass(frozen=True, slots=True)
class CommandRewriter:
    """Port and path substitutions of a kernel's command. On Docker only the two placeholders are filled."""

    port: int
    """Port on which the program must listen."""
    model_path: str
    """The model's path as the program sees it."""
    literal_port: int | None = None
    """A literal port number to be replaced by `port`."""
    paths: tuple[tuple[str, str], ...] = ()
    """Prefix inside the container → prefix here."""

    def command(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the words of the command with ports, paths and placeholders replaced."""
        given = tuple(self.text(word) for word in words)
        if self.literal_port is not None and not any("{port}" in word for word in given):
            given = self._ports(given)
        return tuple(word.replace("{port}", str(self.port)).replace("{model_path}", self.model_path) for word in given)

    def _ports(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return the words with the literal port number replaced where a port stands."""
        found = []
        for index, word in enumerate(words):
            if index > 1 and words[index - 1] in _SCRIPT_OPTIONS and posixpath.basename(words[index - 2]) in _SHELLS:
                found.append(self._script(word))
                continue
            number = str(self.literal_port)
            alone = index > 0 and (_PORT_OPTION.fullmatch(words[index - 1]) or index == len(words) - 1)
            if alone and word.strip("'\"") == number and not _OTHER_OPTION.fullmatch(words[index - 1]):
                found.append(word.replace(number, str(self.port)))
            else:
                found.append(_PORT_INSIDE.sub(self._inside, word))
        return tuple(found)

    def _script(self, text: str) -> str:
        """Return a shell script with the port replaced in each of its commands; the shell's grammar is not parsed."""
        commands = _COMMANDS.split(text)
        for n in range(0, len(commands), 2):
            pieces = _WORDS.split(commands[n])
            places = [k for k in range(0, len(pieces), 2) if pieces[k]]
            for place, word in zip(places, self._ports(tuple(pieces[k] for k in places)), strict=True):
                pieces[place] = word
            commands[n] = "".join(pieces)
        return "".join(commands)

    def _inside(self, match: re.Match[str]) -> str:
        return match[1] + str(self.port) if match[2] == str(self.literal_port) else match[0]

    def environ(self, values: Mapping[str, str]) -> dict[str, str]:
        """Return the variables with paths replaced; numbers stay, because one may mean anything."""
        return {name: self.text(value) for name, value in values.items()}

    def text(self, value: str) -> str:
        """Return `value` with its paths replaced."""
        if not self.paths:
            return value
        places = dict(self.paths)
        longest_first = sorted(places, key=len, reverse=True)
        pattern = f"{_BEFORE}({'|'.join(re.escape(path) for path in longest_first)}){_AFTER}"
        return re.sub(pattern, lambda match: places[match.group(1)], value)
