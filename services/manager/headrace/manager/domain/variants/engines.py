"""Prebuilt runtime variants: command, port and health path of their engines, from the engines' own documentation.

vLLM: `vllm serve`, port 8000, `/health`. SGLang: `sglang.launch_server`, port 30000, `/health`. NVIDIA NIM: the image's
own start, port 8000, `/v1/health/ready`. Text Generation Inference: `text-generation-launcher`, port 80 in its image,
`/health`. llama.cpp: `llama-server`, port 8080, `/health`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.common.contracts.model import HealthCheck
from headrace.common.contracts.vocabulary import RuntimeVariant

_SPLIT = re.compile(r"-(\d{5})-of-\d{5}\.gguf$")


@dataclass(frozen=True)
class Engine:
    """Defaults of a prebuilt variant."""

    port: int
    health_path: str
    needs_folder: bool = True
    port_variable: str | None = None
    """Environment variable through which the image's own start gets its port."""
    environ: dict[str, str] = field(default_factory=dict)

    def health_check(self) -> HealthCheck:
        """Default health check.

        Large models load for minutes: ten are allowed, and a hung engine leaves traffic after as long.
        """
        return HealthCheck(path=self.health_path, interval=5.0, max_retries=119, max_wait_time=5.0, initial_delay=5.0)


ENGINES: dict[RuntimeVariant, Engine] = {
    "vllm": Engine(port=8000, health_path="/health"),
    "sglang": Engine(port=30000, health_path="/health"),
    "nim": Engine(port=8000, health_path="/v1/health/ready", needs_folder=False, port_variable="NIM_HTTP_API_PORT"),
    "huggingface-tgi": Engine(port=80, health_path="/health"),
    "llama-cpp": Engine(port=8080, health_path="/health"),
}


def start_words(
    runtime: RuntimeVariant, *, model_path: str, port: int, name: str, weights: str = ""
) -> tuple[str, ...]:
    """Return the command that serves the model at `model_path` under the model name `name`; (): the image's own.

    `weights`: for llama-cpp, the file in the folder.
    """
    match runtime:
        case "vllm":
            flags = ("--host", "0.0.0.0", "--port", str(port), "--served-model-name", name)
            return ("vllm", "serve", model_path, *flags)
        case "sglang":
            flags = ("--host", "0.0.0.0", "--port", str(port), "--served-model-name", name)
            return ("python3", "-m", "sglang.launch_server", "--model-path", model_path, *flags)
        case "huggingface-tgi":
            return ("text-generation-launcher", "--model-id", model_path, "--hostname", "0.0.0.0", "--port", str(port))
        case "llama-cpp":
            return ("/bin/sh", "-c", _llama_line(port, name, weights))
        case _:
            return ()


def _llama_line(port: int, name: str, weights: str) -> str:
    """Return the shell command of llama.cpp, whose image keeps its program in /app, outside of PATH.

    Path and port come from the environment, so that both runtimes work.
    """
    return (
        'PATH="$PATH:/app" exec llama-server --host 0.0.0.0 '
        f'--port "${{HEADRACE_PORT:-{port}}}" --model "${{HEADRACE_MODEL_PATH:-/models}}"/{shlex.quote(weights)} '
        f"--alias {shlex.quote(name)}"
    )


def choose_weights(files: Sequence[str]) -> str | None:
    """Return the only GGUF file of a folder (of a split model its first part); None when there is none or more than one."""
    found = [name for name in files if name.lower().endswith(".gguf")]
    whole = [name for name in found if not _SPLIT.search(name)]
    first = [name for name in found if (match := _SPLIT.search(name)) and match.group(1) == "00001"]
    candidates = whole + first
    return candidates[0] if len(candidates) == 1 else None
