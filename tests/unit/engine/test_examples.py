"""The example model folders' definition files."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_simple_http_server_is_the_documented_example_word_for_word() -> None:
    assert yaml.safe_load((EXAMPLES / "simple-http-server/model-definition.yaml").read_text()) == {
        "models": [
            {
                "name": "simple-http-server",
                "model_path": "/models",
                "service": {
                    "start_command": ["python", "-m", "http.server", "--directory", "/home/work", "8000"],
                    "port": 8000,
                    "health_check": {
                        "path": "/",
                        "interval": 10.0,
                        "max_retries": 10,
                        "max_wait_time": 15.0,
                        "expected_status_code": 200,
                        "initial_delay": 60.0,
                    },
                },
            }
        ]
    }


@pytest.mark.parametrize("name", ["embeddings", "chat-simulated"])
def test_folders_for_the_model_store_have_both_files(name: str) -> None:
    (model,) = yaml.safe_load((EXAMPLES / name / "model-definition.yaml").read_text())["models"]
    assert str(model["service"]["port"]) in model["service"]["start_command"]
    service = tomllib.loads((EXAMPLES / name / "service-definition.toml").read_text())
    assert set(service) == {"custom"}
    assert {"image", "architecture"} == set(service["custom"]["environment"])
    assert service["custom"]["resource_slots"]["cpu"] == model["metadata"]["min_resource"]["cpu"]
    assert service["custom"]["resource_slots"]["mem"] == model["metadata"]["min_resource"]["mem"]
    assert all(isinstance(value, str) for value in service["custom"]["environ"].values())


def test_the_engine_imports_nothing_but_aiohttp_and_the_standard_library() -> None:
    folder = EXAMPLES.parent / "libs/engine/headrace/engine"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            for module in modules:
                top = module.split(".")[0]
                assert top in sys.stdlib_module_names or top == "aiohttp" or module.startswith("headrace.engine"), (
                    path,
                    module,
                )
