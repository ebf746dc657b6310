"""The OpenAI-compatible routes: models, chat completions, completions, embeddings."""

import asyncio
import base64
import json
import time
from typing import Any

from aiohttp import web

from headrace.engine import calls, generation
from headrace.engine.calls import Call
from headrace.engine.engine import Engine, StreamCut, Work

ENGINE = web.AppKey("engine", Engine)
_IDS = web.AppKey("ids", dict[str, int])

_STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}

routes = web.RouteTableDef()


def setup(app: web.Application) -> None:
    """Add the routes; `app[ENGINE]` must be set."""
    app[_IDS] = {"next": 0}
    app.add_routes(routes)


@routes.get("/v1/models")
async def list_models(request: web.Request) -> web.Response:
    """200 with the model names."""
    settings = request.app[ENGINE].settings
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": "headrace", "max_model_len": settings.max_model_len}
        for name in settings.models
    ]
    return web.json_response({"object": "list", "data": models})


@routes.post("/v1/chat/completions")
async def chat(request: web.Request) -> web.StreamResponse:
    """200 with a chat completion, or a stream of its chunks."""
    engine = request.app[ENGINE]
    body = calls.parse_body(await request.read())
    return await _answer(request, calls.chat(body, engine.settings, engine.behaviour))


@routes.post("/v1/completions")
async def completion(request: web.Request) -> web.StreamResponse:
    """200 with a completion, or a stream of its chunks."""
    engine = request.app[ENGINE]
    body = calls.parse_body(await request.read())
    return await _answer(request, calls.completion(body, engine.settings, engine.behaviour))


@routes.post("/v1/embeddings")
async def embeddings(request: web.Request) -> web.Response:
    """200 with a unit vector for each text, as a list of floats or base64 of little-endian 32-bit floats."""
    engine = request.app[ENGINE]
    call = calls.embeddings(calls.parse_body(await request.read()), engine.settings)
    async with engine.admitted(
        request.path, model=call.model, stream=False, prompt_tokens=call.prompt_tokens, headers=request.headers
    ) as work:
        await work.prefill()
        data: list[dict[str, Any]] = []
        for index, text in enumerate(call.texts):
            vector = generation.embed(engine.settings.seed, text, call.dimensions)
            shown = base64.b64encode(generation.pack(vector)).decode() if call.base64 else vector
            data.append({"object": "embedding", "index": index, "embedding": shown})
            await asyncio.sleep(0)  # let other requests run between two texts
        work.finished("stop")
    used = {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens}
    return web.json_response({"object": "list", "data": data, "model": call.model, "usage": used})


async def _answer(request: web.Request, call: Call) -> web.StreamResponse:
    engine = request.app[ENGINE]
    reply = _Reply(call, _next_id(request))
    stream = web.StreamResponse(headers=_STREAM_HEADERS)
    response: web.StreamResponse = stream
    try:
        async with engine.admitted(
            request.path,
            model=call.model,
            stream=call.stream,
            prompt_tokens=call.prompt_tokens,
            headers=request.headers,
        ) as work:
            if call.stream:
                await _stream(request, stream, reply, work)
            else:
                text = "".join([token async for token in work.tokens(call.tokens)])
                response = web.json_response(reply.whole(text))
            # Inside the block, so that a caller who disconnected earlier is counted as cancelled.
            await response.prepare(request)
            await response.write_eof()
            work.finished(call.finish_reason, call.max_tokens)
    except StreamCut:
        if request.transport is not None:
            request.transport.abort()
    return response


async def _stream(request: web.Request, response: web.StreamResponse, reply: "_Reply", work: Work) -> None:
    """Send the response as server-sent events, one chunk for each token, then `[DONE]`.

    The status line is sent with the first token, so whatever fails before has a status of its own.
    """
    async for token in work.tokens(reply.call.tokens):
        if not response.prepared:
            await response.prepare(request)
            if reply.call.kind == "chat":
                await response.write(_event(reply.chunk({"role": "assistant", "content": ""})))
        await response.write(_event(reply.chunk(token)))
    await response.prepare(request)  # for an answer that a stop word ended before its first token
    await response.write(_event(reply.chunk(None)))
    if reply.call.include_usage:
        await response.write(_event(reply.usage_chunk()))
    await response.write(b"data: [DONE]\n\n")


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _next_id(request: web.Request) -> int:
    ids = request.app[_IDS]
    ids["next"] += 1
    return ids["next"]


class _Reply:
    """JSON shapes of one response."""

    def __init__(self, call: Call, number: int) -> None:
        self.call = call
        prefix = "chatcmpl" if call.kind == "chat" else "cmpl"
        self._head = {"id": f"{prefix}-{number:016x}", "created": int(time.time()), "model": call.model}

    def whole(self, text: str) -> dict[str, Any]:
        """Return the complete response."""
        body: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}} if self.call.kind == "chat" else {"text": text}
        )
        choice = {"index": 0, **body, "logprobs": None, "finish_reason": self.call.finish_reason}
        kind = "chat.completion" if self.call.kind == "chat" else "text_completion"
        return {**self._head, "object": kind, "choices": [choice], "usage": self.call.usage}

    def chunk(self, delta: dict[str, str] | str | None) -> dict[str, Any]:
        """Return a chunk with a token or a delta; None makes the last one, with the finish reason."""
        if self.call.kind == "chat":
            content = {"content": delta} if isinstance(delta, str) else delta or {}
            body: dict[str, Any] = {"delta": content}
        else:
            body = {"text": delta or ""}
        reason = self.call.finish_reason if delta is None else None
        chunk = {**self._head, "object": self._chunk_kind, "choices": [{"index": 0, **body, "finish_reason": reason}]}
        # With include_usage every chunk has the field, and it is null in all but the last.
        return chunk | ({"usage": None} if self.call.include_usage else {})

    def usage_chunk(self) -> dict[str, Any]:
        """Return the chunk that only has the usage."""
        return {**self._head, "object": self._chunk_kind, "choices": [], "usage": self.call.usage}

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.call.kind == "chat" else "text_completion"
