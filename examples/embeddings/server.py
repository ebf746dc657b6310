"""A sentence-embedding model behind an OpenAI-compatible API: `python server.py --port 8000`.

It needs aiohttp, numpy, onnxruntime and tokenizers, and beside it model.onnx, tokenizer.json and config.json
(made by prepare.py). Answers POST /v1/embeddings, GET /v1/models, /health and /metrics.

Requests that come at the same time are computed together, in a thread of their own. Nothing waits for company: a
lone request starts at once, and whatever arrives while a batch is computed makes the next one.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from api import Refused, answer, parse, refusal, within_limit
from batching import SIZES, Batcher, Encoder
from exposition import Histogram

log = logging.getLogger("embeddings")
BODY_BYTES = 4 << 20
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Server:
    """The web application's state and handlers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.batcher: Batcher | None = None
        self.codes: Counter[int] = Counter()
        self.seconds = Histogram(SECONDS)
        self.texts = self.tokens = 0
        # One thread computes, one cuts texts into tokens and writes answers: the event loop stays free.
        self.compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self.prepare = ThreadPoolExecutor(1, thread_name_prefix="prepare")

    def application(self) -> web.Application:
        """Return the application; the model is loaded while it already answers /health with 503."""
        app = web.Application(middlewares=[self.errors], client_max_size=BODY_BYTES)
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/embeddings", self.embeddings)
        app.cleanup_ctx.append(self.background)
        return app

    async def background(self, _app: web.Application) -> AsyncIterator[None]:
        """Load and compute for as long as the application runs."""
        task = asyncio.create_task(self.load_and_run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self.compute.shutdown(wait=False, cancel_futures=True)
        self.prepare.shutdown(wait=False, cancel_futures=True)

    async def load_and_run(self) -> None:
        """Load the model, then compute until cancelled. Ends the process if the model cannot be loaded."""
        began = time.monotonic()
        options = self.options
        loop = asyncio.get_running_loop()
        try:
            encoder = await loop.run_in_executor(self.compute, Encoder, options.model_path, options.threads)
        except Exception:
            log.exception("the model in %s could not be loaded", options.model_path)
            os._exit(1)  # never healthy again: let the agent see an exit, not a timeout
        self.batcher = Batcher(encoder, self.compute, options.max_batch, options.max_batch_tokens, options.max_queue)
        log.info("%s loaded in %.2f s, serving on port %d", encoder.name, time.monotonic() - began, options.port)
        await self.batcher.run()

    @property
    def ready(self) -> Batcher:
        """The batcher. Raises Refused (503) before the model is loaded."""
        if self.batcher is None:
            raise Refused(503, "the model is still loading; try again later", code="model_loading")
        return self.batcher

    @web.middleware
    async def errors(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer errors in OpenAI's shape; count and time what is asked of the model."""
        began = time.monotonic()
        response: web.StreamResponse
        try:
            response = await handler(request)
        except Refused as error:
            response = problem(error)
        except web.HTTPException as error:
            response = problem(Refused(error.status, f"{error.status}: {error.reason}"))
        if request.path.startswith("/v1/embeddings"):
            self.codes[response.status] += 1
            self.seconds.observe(time.monotonic() - began)
        return response

    async def health(self, _request: web.Request) -> web.Response:
        """200 once the model is loaded, 503 before."""
        return web.Response(status=200 if self.batcher else 503, text="ok\n" if self.batcher else "loading\n")

    async def models(self, _request: web.Request) -> web.Response:
        """200 with the one model."""
        model = self.ready.encoder
        card = {"id": model.name, "object": "model", "created": 0, "owned_by": "headrace"}
        return web.json_response({"object": "list", "data": [card | {"max_model_len": model.max_tokens}]})

    async def embeddings(self, request: web.Request) -> web.Response:
        """200 with a unit vector for each text; 400 says what is wrong, 429 that too many texts wait."""
        batcher = self.ready
        loop = asyncio.get_running_loop()
        model = batcher.encoder
        call = parse(
            await request.read(), model=model.name, dimensions=model.dimensions, max_inputs=self.options.max_inputs
        )
        tokens = await loop.run_in_executor(self.prepare, model.tokenize, call.texts)
        tokens = within_limit(tokens, model.max_tokens, call.truncate)
        vectors = await batcher.embed(tokens)
        used = sum(map(len, tokens))
        self.texts += len(vectors)
        self.tokens += used
        body = await loop.run_in_executor(self.prepare, answer, model.name, vectors, used, call.base64)
        return web.Response(body=body, content_type="application/json")

    async def metrics(self, _request: web.Request) -> web.Response:
        """200 with the counters in the Prometheus text format."""
        waiting = len(self.batcher.queue) if self.batcher else 0
        sizes = self.batcher.sizes if self.batcher else Histogram(SIZES)
        lines = [
            "# HELP embeddings_requests_total Requests by status code.",
            "# TYPE embeddings_requests_total counter",
        ]
        lines += [f'embeddings_requests_total{{code="{code}"}} {count}' for code, count in sorted(self.codes.items())]
        lines += ["# HELP embeddings_texts_total Texts answered.", "# TYPE embeddings_texts_total counter"]
        lines += [f"embeddings_texts_total {self.texts}"]
        lines += ["# HELP embeddings_tokens_total Tokens of those texts.", "# TYPE embeddings_tokens_total counter"]
        lines += [f"embeddings_tokens_total {self.tokens}"]
        lines += ["# HELP embeddings_waiting_texts Texts in the queue.", "# TYPE embeddings_waiting_texts gauge"]
        lines += [f"embeddings_waiting_texts {waiting}"]
        lines += self.seconds.lines("embeddings_request_seconds", "Time from a request's head to its answer.")
        lines += sizes.lines("embeddings_batch_texts", "Texts computed together.")
        text = "\n".join(lines) + "\n"
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


def problem(error: Refused) -> web.Response:
    """Return the error as a response."""
    body, headers = refusal(error)
    return web.json_response(body, status=error.status, headers=headers)


def main() -> None:
    """Serve until SIGTERM, which lets open requests finish."""
    env = os.environ
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=env.get("HEADRACE_PORT") or env.get("PORT") or "8000")
    parser.add_argument("--model-path", type=Path, default=Path(__file__).resolve().parent, help="folder of model.onnx")
    parser.add_argument("--threads", type=int, default=env.get("EMBEDDINGS_THREADS", "1"), help="cores to compute on")
    parser.add_argument("--max-batch", type=int, default=32, help="texts computed together")
    parser.add_argument("--max-batch-tokens", type=int, default=2048, help="tokens computed together, padding included")
    parser.add_argument(
        "--max-queue", type=int, default=env.get("EMBEDDINGS_MAX_QUEUE", "1024"), help="texts that may wait"
    )
    parser.add_argument("--max-inputs", type=int, default=256, help="texts in one request")
    options = parser.parse_args()
    options.max_inputs = min(options.max_inputs, options.max_queue)  # what never fits is wrong, not early
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    server = Server(options)
    web.run_app(
        server.application(),
        host=options.host,
        port=options.port,
        handler_cancellation=True,  # a caller who left frees the places in the queue
        shutdown_timeout=30.0,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
