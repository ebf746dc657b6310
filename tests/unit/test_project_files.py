"""The files around the code: links that lead somewhere, READMEs that stay short, one owner's table that names what exists."""

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for where in ("*.md", "docs/**/*.md", "services/*/*.md", "libs/*/*.md", "benchmarks/**/*.md", "fuzz/**/*.md")
    for page in ROOT.glob(where)
)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text()))
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_and_headings_that_exist(page: Path) -> None:
    wrong = []
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(path)
        elif anchor and target.suffix == ".md" and anchor[1:] not in anchors(target):
            wrong.append(path + anchor)
    assert not wrong


@pytest.mark.parametrize(
    "folder", sorted([*ROOT.glob("services/*/"), *ROOT.glob("libs/*/")]), ids=lambda folder: folder.name
)
def test_each_service_and_library_has_a_readme_of_at_most_30_lines(folder: Path) -> None:
    assert len((folder / "README.md").read_text().splitlines()) <= 30


@pytest.mark.parametrize("folder", sorted(ROOT.glob("services/*/")), ids=lambda folder: folder.name)
def test_files_that_a_service_s_readme_names_exist(folder: Path) -> None:
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", (folder / "README.md").read_text())
    package = folder / "headrace" / folder.name
    assert named
    assert not [name for name in named if not list(package.glob(f"**/{name}")) and not (ROOT / name).exists()]


def test_the_index_of_the_docs_names_every_page() -> None:
    index = (ROOT / "docs/index.md").read_text()
    assert not [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md" and f"({page.name})" not in index
    ]


def test_a_decision_has_a_number_of_its_own_and_says_it() -> None:
    numbers = Counter(page.name[:4] for page in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert not [number for number, times in numbers.items() if times > 1]
    assert not [
        page.name
        for page in (ROOT / "docs/adr").glob("[0-9]*.md")
        if not page.read_text().startswith(f"# {int(page.name[:4])}. ")
    ]


def test_a_change_is_said_once() -> None:
    beginnings = Counter(row[:45] for row in (ROOT / "CHANGELOG.md").read_text().splitlines() if row.startswith("- "))
    assert not [beginning for beginning, times in beginnings.items() if times > 1]


def test_every_path_of_codeowners_exists() -> None:
    rows = [row for row in (ROOT / "CODEOWNERS").read_text().splitlines() if row and not row.startswith("#")]
    paths = [row.split()[0] for row in rows]
    assert paths[0] == "*"
    assert not [path for path in paths[1:] if not (ROOT / path.lstrip("/")).exists()]


def test_hooks_before_a_commit_run_what_make_check_runs() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    tools = re.findall(r"\$\(BIN\)/(\S+)", recipe)
    assert tools
    assert not [tool for tool in tools if f".venv/bin/{tool}" not in hooks]


def test_one_lock_file_pins_every_package_that_pyproject_names_by_hash_and_the_installer_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.split(r"[<>=;\s]", name)[0].lower() for name in wanted}
    assert [lock.name for lock in ROOT.glob("requirements*")] == ["requirements.lock"]
    pinned = re.findall(
        r"^([a-z0-9.-]+)==\S+.*\\\n +--hash=sha256:", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    assert "uv" in names
    assert sorted(names - set(pinned)) == []


def test_a_wheelhouse_has_what_only_other_patch_releases_of_python_need() -> None:
    """Machines that join may have another one than that which made the wheels."""
    (select,) = re.findall(r"^(sed .*) >build/others.txt$", (ROOT / "scripts/wheelhouse").read_text(), re.MULTILINE)
    selected = subprocess.run(["sh", "-ec", select], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    rows = re.findall(r"^(\S+==\S+) ; (.+) \\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)

    def holds(marker: str, release: str) -> bool:
        return Marker(marker).evaluate({"python_full_version": release, "python_version": release.rpartition(".")[0]})

    differ = [
        row
        for row, marker in rows
        if any(holds(marker, f"{minor}.0") != holds(marker, f"{minor}.99") for minor in ("3.11", "3.12", "3.13"))
    ]
    assert differ
    assert selected.stdout.split() == differ
