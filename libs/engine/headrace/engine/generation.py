"""Token generation: pure functions from a seed and the caller's text to tokens and vectors.

The same request to the same model with the same seed always has the same response.
"""

import hashlib
import math
import random
import re
import struct
from collections.abc import Sequence
from functools import lru_cache

_PIECES = re.compile(r"\w+|[^\w\s]")
_WORDS = (
    "water",
    "wheel",
    "channel",
    "mill",
    "stone",
    "river",
    "gate",
    "sluice",
    "turns",
    "carries",
    "lifts",
    "slowly",
    "again",
    "evenly",
    "grain",
    "flour",
    "morning",
    "field",
    "bridge",
    "steady",
    "quiet",
    "deep",
    "narrow",
    "level",
    "flows",
    "and",
    "the",
    "over",
    "under",
    "beside",
    "through",
    "with",
    "from",
    "then",
    "here",
)
_SENTENCE_TOKENS = 12
_EMBEDDED_WORDS = 64  # a long text must not hold up the event loop


def count_tokens(text: str) -> int:
    """Return the number of tokens in `text`: each word and each punctuation mark is one."""
    return len(_PIECES.findall(text))


def _rng(*parts: object) -> random.Random:
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=16).digest()
    return random.Random(digest)  # noqa: S311  # simulated text, nothing secret hangs on it


def answer(seed: int, model: str, prompt: str, tokens: int) -> list[str]:
    """Return a text of exactly `tokens` tokens, as a list of tokens."""
    rng = _rng("answer", seed, model, prompt)
    made: list[str] = []
    for index in range(tokens):
        place = index % _SENTENCE_TOKENS
        if place == _SENTENCE_TOKENS - 1:
            made.append(".")
            continue
        word = rng.choice(_WORDS)
        made.append((" " if index else "") + (word.capitalize() if place == 0 else word))
    return made


def cut_at_stop(tokens: Sequence[str], stop: Sequence[str]) -> tuple[list[str], bool]:
    """Return the tokens before the first of the `stop` texts, and True if one was found.

    The stop text itself is left out, as OpenAI's API specifies; a token that contains its beginning is shortened.
    """
    text = "".join(tokens)
    ends = [text.find(word) for word in stop if word in text]
    if not ends:
        return list(tokens), False
    left = min(ends)
    kept: list[str] = []
    for token in tokens:
        if left <= 0:
            break
        kept.append(token[:left])
        left -= len(token)
    return kept, True


def embed(seed: int, text: str, dimensions: int) -> list[float]:
    """Return a unit vector for `text`. Texts that share words are close to each other, others are not.

    It is the sum of one random direction for each of the first words, so it does not model meaning.
    """
    total = [0.0] * dimensions
    words = _PIECES.findall(text.lower())[:_EMBEDDED_WORDS]
    for word in words or [""]:
        for index, value in enumerate(_direction(seed, word, dimensions)):
            total[index] += value
    return _unit(total)


@lru_cache(maxsize=512)
def _direction(seed: int, word: str, dimensions: int) -> tuple[float, ...]:
    rng = _rng("embed", seed, word)
    return tuple(_unit([rng.gauss(0.0, 1.0) for _ in range(dimensions)]))


def _unit(vector: Sequence[float]) -> list[float]:
    # The largest part first: the sum of squares of tiny numbers would vanish.
    largest = max(map(abs, vector))
    if largest == 0.0:
        return [1.0, *[0.0] * (len(vector) - 1)]
    scaled = [value / largest for value in vector]
    norm = math.sqrt(sum(value * value for value in scaled))
    return [value / norm for value in scaled]


def pack(vector: Sequence[float]) -> bytes:
    """Return the vector as little-endian 32-bit floats: the content of `encoding_format: base64`."""
    return struct.pack(f"<{len(vector)}f", *vector)
