"""How the web console gets into wheel and sdist: hatch_build.py on a folder that stands for a checkout, an sdist or an image's build."""

from __future__ import annotations

from pathlib import Path

import hatch_build
import pytest

BUILDS = 'import pathlib; b = pathlib.Path("{root}/build/console"); b.mkdir(parents=True); (b / "index.html").touch()'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hatch_build, "ROOT", tmp_path)
    for name in ("HEADRACE_COMPILE", "HEADRACE_CONSOLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def included(root: Path, target: str = "wheel", version: str = "standard") -> dict[str, str]:
    """What a build adds to its files: from where, to where."""
    data: dict[str, dict[str, str]] = {"force_include": {}}
    hatch_build.BuildHook(str(root), {}, None, None, str(root), target).initialize(version, data)  # type: ignore[arg-type]
    return data["force_include"]


def checkout(root: Path, script: str) -> None:
    (root / "console").mkdir()
    (root / "console" / "package.json").write_text("{}")
    (root / "scripts").mkdir()
    (root / "scripts" / "console.py").write_text(script)


def test_a_checkout_builds_it_for_wheel_and_sdist_and_not_for_an_editable_install(root: Path) -> None:
    checkout(root, BUILDS.format(root=root))
    assert included(root, version="editable") == {}
    assert not (root / "build").exists()
    assert included(root) == {str(root / "build/console"): "headrace/manager/console"}
    assert (root / "build/console/index.html").exists()
    (root / "scripts" / "console.py").write_text("")
    in_sdist = "services/manager/headrace/manager/console"
    assert included(root, "sdist") == {str(root / "build/console"): in_sdist}


def test_an_sdist_has_it_among_the_manager_s_files(root: Path) -> None:
    checkout(root, "raise SystemExit('there is no Node here')")
    (root / "services/manager/headrace/manager/console").mkdir(parents=True)
    assert included(root) == {}


def test_an_image_is_built_with_what_was_built_outside_of_it(root: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"found neither console/ nor .*; HEADRACE_CONSOLE=none leaves the web console out"
    ):
        included(root)
    (root / "build/console").mkdir(parents=True)
    (root / "build/console/index.html").touch()
    assert included(root) == {str(root / "build/console"): "headrace/manager/console"}


def test_a_wheel_is_made_without_it_only_if_that_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout(root, "raise SystemExit('error: no Node could be had')")
    with pytest.raises(SystemExit, match="the web console could not be built, as is said above"):
        included(root)
    monkeypatch.setenv("HEADRACE_CONSOLE", "none")
    assert included(root) == {}
