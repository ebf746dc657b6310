"""The simulated chat folder, run by the command of its own definition."""

from __future__ import annotations

import tomllib
from pathlib import Path

import openai
import yaml

from tests.support.servers import model_server

FOLDER = Path(__file__).resolve().parents[3] / "examples/chat-simulated"


def test_its_command_serves_a_chat(tmp_path: Path) -> None:
    (model,) = yaml.safe_load((FOLDER / "model-definition.yaml").read_text())["models"]
    environ = tomllib.loads((FOLDER / "service-definition.toml").read_text())["custom"]["environ"]
    python, *words = model["service"]["start_command"]
    assert python == "python"
    command = ["{port}" if word == str(model["service"]["port"]) else word for word in words]
    with (
        model_server(command, tmp_path / "log", env=environ) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
    ):
        answer = client.chat.completions.create(model=model["name"], messages=[{"role": "user", "content": "Hello"}])
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 64
