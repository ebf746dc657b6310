"""Parsing of requests: pure, all errors are BadRequest or UnknownModel."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from headrace.engine import generation
from headrace.engine.problems import BadRequest, ContextTooLong, UnknownModel
from headrace.engine.settings import Behaviour, Settings

Body: TypeAlias = Mapping[str, Any]
_ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
_MAX_INPUTS = 256


@dataclass(frozen=True)
class Call:
    """Accepted chat or completion: the whole response is computed before the first token is sent."""

    kind: Literal["chat", "completion"]
    model: str
    prompt_tokens: int
    tokens: tuple[str, ...]
    finish_reason: Literal["stop", "length"]
    max_tokens: int | None
    stream: bool
    include_usage: bool

    @property
    def usage(self) -> dict[str, int]:
        """The usage object of a complete response."""
        return usage(self.prompt_tokens, len(self.tokens))


@dataclass(frozen=True)
class EmbeddingCall:
    """An accepted embedding request."""

    model: str
    texts: tuple[str, ...]
    prompt_tokens: int
    base64: bool
    dimensions: int


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return OpenAI's usage object."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def parse_body(raw: bytes) -> Body:
    """Parse the JSON object in `raw`."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise BadRequest("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def chat(body: Body, settings: Settings, behaviour: Behaviour) -> Call:
    """Parse a body of POST /v1/chat/completions."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list with at least one message", param="messages")
    prompt = "\n".join(_message(message, index) for index, message in enumerate(messages))
    return _call("chat", body, prompt, settings, behaviour)


def completion(body: Body, settings: Settings, behaviour: Behaviour) -> Call:
    """Parse a body of POST /v1/completions."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest("prompt must be a string (or a list with one string)", param="prompt")
    return _call("completion", body, prompt, settings, behaviour)


def embeddings(body: Body, settings: Settings) -> EmbeddingCall:
    """Parse a body of POST /v1/embeddings."""
    model = _model(body, settings)
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
        raise BadRequest("input must be a non-empty string or a list of such strings", param="input")
    if len(texts) > _MAX_INPUTS:
        raise BadRequest(f"input has {len(texts)} texts; the limit is {_MAX_INPUTS}", param="input")
    encoding = body.get("encoding_format", "float")
    if encoding not in {"float", "base64"}:
        raise BadRequest("encoding_format must be float or base64", param="encoding_format")
    dimensions = _whole(body, "dimensions", settings.embedding_dimensions, low=1, high=settings.embedding_dimensions)
    tokens = [generation.count_tokens(text) for text in texts]
    for index, count in enumerate(tokens):
        if count > settings.max_model_len:
            raise ContextTooLong(
                f"input[{index}] has {count} tokens; the limit is {settings.max_model_len}", param="input"
            )
    return EmbeddingCall(model, tuple(texts), sum(tokens), encoding == "base64", dimensions)


def _call(
    kind: Literal["chat", "completion"],
    body: Body,
    prompt: str,
    settings: Settings,
    behaviour: Behaviour,
) -> Call:
    model = _model(body, settings)
    # The newer name wins, as it does in OpenAI's API; 0 stands for "not given".
    older = _whole(body, "max_tokens", 0, low=1, high=1 << 31)
    max_tokens = _whole(body, "max_completion_tokens", older, low=1, high=1 << 31) or None
    _whole(body, "n", 1, low=1, high=1)
    _number(body, "temperature", 0, 2)
    _number(body, "top_p", 0, 1)
    stream = _flag(body, "stream")
    include_usage = _stream_usage(body, stream=stream)
    prompt_tokens = generation.count_tokens(prompt)
    room = settings.max_model_len - prompt_tokens
    if room < (max_tokens or 1):
        raise ContextTooLong(
            f"This model's maximum context length is {settings.max_model_len} tokens; "
            f"{prompt_tokens} are in the prompt and {max_tokens or 1} were asked for.",
            param="messages" if kind == "chat" else "prompt",
        )
    natural = max_tokens or behaviour.answer_tokens if _flag(body, "ignore_eos") else behaviour.answer_tokens
    length = min(natural, room, max_tokens or room)
    made, stopped = generation.cut_at_stop(generation.answer(settings.seed, model, prompt, length), _stop(body))
    complete = stopped or length >= behaviour.answer_tokens
    return Call(
        kind=kind,
        model=model,
        prompt_tokens=prompt_tokens,
        tokens=tuple(made),
        finish_reason="stop" if complete and not _flag(body, "ignore_eos") else "length",
        max_tokens=max_tokens,
        stream=stream,
        include_usage=include_usage,
    )


def _message(message: object, index: int) -> str:
    where = f"messages[{index}]"
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise BadRequest(f"{where}.role must be one of {', '.join(sorted(_ROLES))}", param=f"{where}.role")
    content = message.get("content")
    if content is None and message["role"] == "assistant":
        return "assistant:"
    if isinstance(content, list):
        content = " ".join(_part(part, f"{where}.content[{i}]") for i, part in enumerate(content))
    if not isinstance(content, str):
        raise BadRequest(f"{where}.content must be a string or a list of parts", param=f"{where}.content")
    return f"{message['role']}: {content}"


def _part(part: object, where: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise BadRequest(f"{where} must be a text part; this engine reads nothing else", param=where)
    return str(part["text"])


def _model(body: Body, settings: Settings) -> str:
    model = body.get("model", settings.models[0])
    if not isinstance(model, str):
        raise BadRequest("model must be a string", param="model")
    if model not in settings.models:
        raise UnknownModel(f"The model `{model}` does not exist; there is {', '.join(settings.models)}.", param="model")
    return model


def _stop(body: Body) -> Sequence[str]:
    stop = body.get("stop")
    words = [] if stop is None else [stop] if isinstance(stop, str) else stop
    if not isinstance(words, list) or len(words) > 16 or not all(isinstance(w, str) and w for w in words):
        raise BadRequest("stop must be a string or a list of at most 16 strings", param="stop")
    return words


def _stream_usage(body: Body, *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise BadRequest("stream_options is only allowed when stream is true", param="stream_options")
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object", param="stream_options")
    return _flag(options, "include_usage")


def _flag(body: Body, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false", param=name)
    return bool(value)


def _whole(body: Body, name: str, default: int, *, low: int, high: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        allowed = f"{low}" if low == high else f"a whole number from {low} to {high}"
        raise BadRequest(f"{name} must be {allowed}", param=name)
    return value


def _number(body: Body, name: str, low: float, high: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequest(f"{name} must be a number from {low} to {high}", param=name)
