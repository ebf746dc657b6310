"""Builds the ONNX graph of a BERT sentence encoder from its weights; `prepare.py` calls it once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
_OPSET = 20  # the first with a Gelu operator
_MASKED = -10_000.0  # added to the score of a padding token: its weight becomes 0 and no softmax becomes NaN


@dataclass(frozen=True)
class Shape:
    """The sizes that `config.json` gives."""

    hidden: int
    heads: int
    layers: int
    positions: int
    epsilon: float

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Shape":
        """Return the sizes in `config`. Raises ValueError for anything but a plain BERT with exact GELU."""
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError(f"expected a bert with gelu, found {config['model_type']} with {config['hidden_act']}")
        return cls(
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            positions=config["max_position_embeddings"],
            epsilon=config["layer_norm_eps"],
        )


def read_safetensors(raw: bytes) -> dict[str, Array]:
    """Return the 32-bit float tensors of a safetensors file: 8 bytes length, JSON header, then the data."""
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    tensors: dict[str, Array] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(raw, dtype="<f4", count=(end - begin) // 4, offset=start + begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def build(weights: Mapping[str, Array], shape: Shape) -> onnx.ModelProto:
    """Return a checked model: (input_ids, attention_mask), both int64 [batch, tokens] → embeddings, float [batch, hidden].

    The embedding is the mean of the last layer over the unmasked tokens, scaled to length 1: what the model card of
    sentence-transformers/all-MiniLM-L6-v2 prescribes.
    """
    return _Builder(weights, shape).model()


class _Builder:
    """Collects nodes and weights; every method returns the name of the value it makes."""

    def __init__(self, weights: Mapping[str, Array], shape: Shape) -> None:
        self._weights = weights
        self._shape = shape
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        x = self._embeddings()
        mask = self._node("Cast", "attention_mask", to=TensorProto.FLOAT)
        absent = self._node("Sub", self._floats("one", 1.0), mask)
        bias = self._node("Mul", absent, self._floats("masked", _MASKED))
        bias = self._node("Unsqueeze", bias, self._ints("axes_1_2", 1, 2))  # [batch, 1, 1, tokens]
        for index in range(self._shape.layers):
            x = self._layer(f"encoder.layer.{index}.", x, bias)
        self._pool(x, mask)
        graph = helper.make_graph(
            self._nodes,
            "sentence_encoder",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"]),
                helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "tokens"]),
            ],
            [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", self._shape.hidden])],
            initializer=list(self._constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
        onnx.checker.check_model(model)
        return model

    def _embeddings(self) -> str:
        words = self._weight("embeddings.word_embeddings.weight")
        # There is one segment only, so its vector is a part of each position's. The positions are cut out with
        # Slice: onnxruntime fuses Gather over a Range wrongly.
        places = self._weights["embeddings.position_embeddings.weight"]
        places = places + self._weights["embeddings.token_type_embeddings.weight"][0]
        tokens = self._node("Shape", "input_ids", start=1, end=2)
        here = self._node(
            "Slice", self._constant("positions", places), self._ints("zero", 0), tokens, self._ints("axis_0", 0)
        )
        x = self._node("Add", self._node("Gather", words, "input_ids"), here)
        return self._norm("embeddings.LayerNorm", x)

    def _layer(self, prefix: str, x: str, bias: str) -> str:
        shape = self._shape
        width = shape.hidden // shape.heads
        query = self._heads(prefix + "attention.self.query", x, (0, 2, 1, 3), scale=width**-0.5)
        key = self._heads(prefix + "attention.self.key", x, (0, 2, 3, 1))
        value = self._heads(prefix + "attention.self.value", x, (0, 2, 1, 3))
        scores = self._node("Add", self._node("MatMul", query, key), bias)
        seen = self._node("MatMul", self._node("Softmax", scores, axis=-1), value)
        seen = self._node("Transpose", seen, perm=(0, 2, 1, 3))
        seen = self._node("Reshape", seen, self._ints("joined", 0, 0, shape.hidden))
        out = self._dense(prefix + "attention.output.dense", seen)
        x = self._norm(prefix + "attention.output.LayerNorm", self._node("Add", out, x))
        wide = self._node("Gelu", self._dense(prefix + "intermediate.dense", x))
        out = self._dense(prefix + "output.dense", wide)
        return self._norm(prefix + "output.LayerNorm", self._node("Add", out, x))

    def _heads(self, name: str, x: str, order: tuple[int, ...], scale: float = 1.0) -> str:
        flat = self._dense(name, x, scale=scale)
        width = self._shape.hidden // self._shape.heads
        return self._node(
            "Transpose", self._node("Reshape", flat, self._ints("split", 0, 0, self._shape.heads, width)), perm=order
        )

    def _pool(self, x: str, mask: str) -> None:
        counted = self._node("Unsqueeze", mask, self._ints("axes_2", 2))  # [batch, tokens, 1]
        total = self._node("ReduceSum", self._node("Mul", x, counted), self._ints("axis_1", 1), keepdims=0)
        count = self._node("ReduceSum", counted, self._ints("axis_1", 1), keepdims=0)
        mean = self._node("Div", total, self._node("Max", count, self._floats("least_count", 1e-9)))
        length = self._node("ReduceL2", mean, self._ints("axis_1", 1), keepdims=1)
        length = self._node("Max", length, self._floats("least_length", 1e-12))
        self._nodes.append(helper.make_node("Div", [mean, length], ["embeddings"]))

    def _dense(self, name: str, x: str, scale: float = 1.0) -> str:
        # safetensors holds [out, in], MatMul wants [in, out].
        weight = self._constant(name + ".weight", self._weights[name + ".weight"].T * np.float32(scale))
        bias = self._constant(name + ".bias", self._weights[name + ".bias"] * np.float32(scale))
        return self._node("Add", self._node("MatMul", x, weight), bias)

    def _norm(self, name: str, x: str) -> str:
        weight, bias = self._weight(name + ".weight"), self._weight(name + ".bias")
        return self._node("LayerNormalization", x, weight, bias, axis=-1, epsilon=self._shape.epsilon)

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _floats(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, dtype=np.float32))

    def _ints(self, name: str, *values: int) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name
