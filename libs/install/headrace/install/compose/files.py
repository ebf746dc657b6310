"""Files of the compose project (`project/`, also deploy/compose.yaml): the same for every installation."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

VERSION: Final = version("headrace")
"""Tag of the images: those of the version that made the files."""
_PROJECT: Final = Path(__file__).parent / "project"

_MONITORING: Final = {
    "prometheus": ("prometheus.yml", "rules/*.yml"),
    "grafana": ("provisioning/*/*.yaml", "dashboards/*.json"),
}
"""Their names are of one folder here: compose.yaml says where each lies in a container."""


def text(name: str) -> str:
    """Return the content of a file of the project."""
    return (_PROJECT / name).read_text(encoding="utf-8")


def monitoring() -> dict[str, str]:
    """Return path in the installation → content of what Prometheus and Grafana read (deploy/prometheus, deploy/grafana)."""
    found = {
        f"{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder, patterns in _MONITORING.items()
        for pattern in patterns
        for path in sorted((_PROJECT / folder).glob(pattern))
    }
    assert found  # noqa: S101 - they are in the wheel
    return found
