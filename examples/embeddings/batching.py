"""The model, and the queue that computes what waits in batches."""

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# The one core that this server is given is for the model; read when the library is first used.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import onnxruntime
from api import Refused
from exposition import Histogram
from numpy.typing import NDArray
from tokenizers import Tokenizer

log = logging.getLogger("embeddings")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Encoder:
    """The model. Its methods block: call them in a thread."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Load the model from `folder`. Raises OSError or onnxruntime's error if it is not there or broken."""
        config = json.loads((folder / "config.json").read_text())
        self.name, self.dimensions, self.max_tokens = config["name"], config["dimensions"], config["max_tokens"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()  # the file asks for 128 tokens, always
        self._tokenizer.no_truncation()  # too long is refused, not cut in silence
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the core to the neighbours
        self._session = onnxruntime.InferenceSession(folder / "model.onnx", options, ["CPUExecutionProvider"])
        self.embed([self.tokenize(["warm up"])[0]])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token numbers of each text, first and last marks included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def embed(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return one unit vector for each text, [len(batch), dimensions]."""
        ids = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (vectors,) = self._session.run(["embeddings"], {"input_ids": ids, "attention_mask": mask})
        return vectors  # type: ignore[no-any-return]  # onnxruntime has no types


@dataclass(eq=False)
class Job:
    """One text on its way through the batcher."""

    tokens: list[int]
    vector: asyncio.Future[NDArray[np.float32]]


@dataclass
class Batcher:
    """A bounded queue of texts, and the loop that computes them in batches."""

    encoder: Encoder
    pool: ThreadPoolExecutor
    max_batch: int
    max_batch_tokens: int
    max_queue: int
    sizes: Histogram = field(default_factory=lambda: Histogram(SIZES))
    queue: deque[Job] = field(default_factory=deque)
    _poked: asyncio.Event = field(default_factory=asyncio.Event)

    async def embed(self, texts: list[list[int]]) -> list[NDArray[np.float32]]:
        """Return the vectors in the order of `texts`. Raises Refused (429) if the queue has no room for all of them."""
        if len(self.queue) + len(texts) > self.max_queue:
            waiting = f"{len(self.queue)} texts wait and the queue holds {self.max_queue}"
            raise Refused(429, f"{waiting}; there is no room for {len(texts)} more", code="queue_full")
        loop = asyncio.get_running_loop()
        jobs = [Job(tokens, loop.create_future()) for tokens in texts]
        self.queue.extend(jobs)
        self._poked.set()
        try:
            return [await job.vector for job in jobs]
        finally:
            for job in jobs:  # a caller who left frees the places at once
                job.vector.cancel()
                with suppress(ValueError):
                    self.queue.remove(job)

    async def run(self) -> None:
        """Compute until cancelled. A batch that fails fails its texts, and the loop goes on."""
        loop = asyncio.get_running_loop()
        while True:
            await self._poked.wait()
            self._poked.clear()
            while batch := self._next():
                self.sizes.observe(len(batch))
                try:
                    vectors = await loop.run_in_executor(self.pool, self.encoder.embed, [job.tokens for job in batch])
                except Exception as error:
                    log.exception("batch failed")
                    for job in batch:
                        if not job.vector.done():
                            job.vector.set_exception(Refused(500, f"the model failed: {type(error).__name__}"))
                    continue
                for job, vector in zip(batch, vectors, strict=True):
                    if not job.vector.done():
                        job.vector.set_result(vector)

    def _next(self) -> list[Job]:
        """Take the next batch off the queue: so many texts that, padded to the longest, they stay within the limits."""
        batch: list[Job] = []
        longest = 0
        while self.queue and len(batch) < self.max_batch:
            longest = max(longest, len(self.queue[0].tokens))
            if batch and longest * (len(batch) + 1) > self.max_batch_tokens:
                break
            batch.append(self.queue.popleft())
        return batch
