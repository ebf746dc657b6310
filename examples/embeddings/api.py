"""The OpenAI-compatible shapes of requests, answers and errors. Only the standard library and numpy."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Refused(Exception):  # noqa: N818  # 4xx and 5xx alike
    """An error for the caller, in the shape of OpenAI's API."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclass(frozen=True)
class Call:
    """An accepted request."""

    texts: list[str]
    base64: bool
    truncate: int | None


def parse(raw: bytes, *, model: str, dimensions: int, max_inputs: int) -> Call:
    """Return what the body asks for. Raises Refused with the field and the reason."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    if body.get("model", model) != model:
        message = f"The model `{body['model']}` does not exist; this is {model}."
        raise Refused(404, message, param="model", code="model_not_found")
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise Refused(400, "encoding_format must be float or base64", param="encoding_format")
    if body.get("dimensions") not in (None, dimensions):
        raise Refused(400, f"dimensions must be {dimensions}; this model has no others", param="dimensions")
    truncate = body.get("truncate_prompt_tokens")
    if truncate is not None and (type(truncate) is not int or not (truncate == -1 or truncate >= 3)):
        raise Refused(400, "truncate_prompt_tokens must be -1 or at least 3", param="truncate_prompt_tokens")
    return Call(texts_of(body, max_inputs), encoding == "base64", truncate)


def texts_of(body: Mapping[str, Any], max_inputs: int) -> list[str]:
    """Return the texts in `input`."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise Refused(400, "input must be a string or a list of strings, and not empty", param="input")
    if len(texts) > max_inputs:
        raise Refused(400, f"input has {len(texts)} texts; the limit is {max_inputs}", param="input")
    for index, text in enumerate(texts):
        if isinstance(text, int | list):
            raise Refused(400, "input must be text: token numbers belong to another model's vocabulary", param="input")
        if not isinstance(text, str) or not text:
            raise Refused(400, f"input[{index}] must be a string that is not empty", param="input")
    return texts


def within_limit(tokens: list[list[int]], limit: int, truncate: int | None) -> list[list[int]]:
    """Return `tokens`, cut where the caller asked for it. Raises Refused for a text over the limit."""
    if truncate is not None:
        most = limit if truncate == -1 else min(limit, truncate)
        return [t if len(t) <= most else [*t[: most - 1], t[-1]] for t in tokens]  # the end mark stays
    for index, text in enumerate(tokens):
        if len(text) > limit:
            message = (
                f"input[{index}] has {len(text)} tokens; the limit is {limit} (truncate_prompt_tokens: -1 cuts it)"
            )
            raise Refused(400, message, param="input", code="context_length_exceeded")
    return tokens


def answer(name: str, vectors: Sequence[NDArray[np.float32]], used: int, base_64: bool) -> bytes:  # noqa: FBT001  # from an executor
    """Return the JSON answer; base64 is of little-endian 32-bit floats."""
    shown = [base64.b64encode(v.astype("<f4").tobytes()).decode() if base_64 else v.tolist() for v in vectors]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shown)]
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json.dumps({"object": "list", "data": data, "model": name, "usage": usage}).encode()


def refusal(error: Refused) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the body and the extra headers of an error."""
    kind = "invalid_request_error" if error.status < 500 and error.status != 429 else "server_error"
    body = {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}
    return body, {"Retry-After": "1"} if error.status in (429, 503) else {}
