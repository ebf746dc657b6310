"""Docker image with Python and chosen packages, built without a network from this machine's files.

It holds the running interpreter, its standard library, the wanted packages of the virtual environment, a shell, and the
closure of shared libraries all of these need. Stands in for the images that a site would pull from its registry.
"""

from __future__ import annotations

import compileall
import io
import re
import subprocess
import sys
import tarfile
from importlib.metadata import files
from importlib.util import cache_from_source
from pathlib import Path

LIBRARY = f"python{sys.version_info.major}.{sys.version_info.minor}"
ENGINE_PACKAGES = (
    "aiohttp",
    "aiohappyeyeballs",
    "aiosignal",
    "attrs",
    "frozenlist",
    "idna",
    "multidict",
    "propcache",
    "yarl",
    "typing_extensions",
)
EMBEDDING_PACKAGES = (
    *ENGINE_PACKAGES,
    "numpy",
    "onnxruntime",
    "tokenizers",
    "prometheus_client",
    "flatbuffers",
    "packaging",
    "protobuf",
)
_LEFT_OUT = re.compile(
    r"/(test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|__pycache__|site-packages|dist-packages)(/|$)"
)
_EXTRA_LIBRARIES = (
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libm.so.6",
    "libgomp.so.1",
)


def build_image(tag: str, packages: tuple[str, ...], *, sources: dict[str, Path] | None = None) -> str:
    """Import the image as `tag` and return it; an image with this tag is replaced. `sources`: path inside → folder here."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _Layer(tar).fill(packages, sources or {})
    command = ["docker", "import", "-c", 'CMD ["python3"]', "-c", "ENV PATH=/usr/local/bin:/usr/bin:/bin", "-", tag]
    subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True, timeout=120)
    return tag


class _Layer:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._binaries: list[Path] = []
        self._added: set[str] = set()

    def fill(self, packages: tuple[str, ...], sources: dict[str, Path]) -> None:
        for folder, mode in (("tmp", 0o1777), ("home/work", 0o777), ("etc", 0o755), ("usr/local/bin", 0o755)):
            self._folder(folder, mode)
        self._text("etc/passwd", "root:x:0:0::/root:/bin/sh\nwork:x:1000:1000::/home/work:/bin/sh\n")
        interpreter = Path(sys.base_prefix) / "bin" / LIBRARY
        self._file(interpreter, "usr/local/bin/python3")
        self._link("usr/local/bin/python", "python3")
        self._tree(Path(sys.base_prefix) / "lib" / LIBRARY, f"usr/local/lib/{LIBRARY}")
        for package in packages:
            self._package(package)
        for inside, here in sources.items():
            compileall.compile_dir(here, quiet=2)
            self._tree(here, inside.lstrip("/"))
        for shell in ("/bin/sh", "/bin/cat", "/bin/sleep", "/bin/ls", "/bin/mkdir"):
            self._file(Path(shell).resolve(), shell.lstrip("/"))
        self._libraries()

    def _package(self, name: str) -> None:
        found = files(name) or []
        for entry in found:
            here = Path(str(entry.locate()))
            if entry.parts[0] != ".." and "__pycache__" not in entry.parts and here.is_file():
                self._file(here, f"usr/local/lib/{LIBRARY}/site-packages/{entry}")

    def _tree(self, here: Path, inside: str) -> None:
        for path in sorted(here.rglob("*")):
            name = f"{inside}/{path.relative_to(here)}"
            if path.is_file() and not _LEFT_OUT.search(f"/{path.relative_to(here)}"):
                self._file(path, name)

    def _file(self, here: Path, inside: str) -> None:
        if inside in self._added:
            return
        self._added.add(inside)
        info = self._tar.gettarinfo(str(here.resolve()), inside)
        info.uid = info.gid = 0
        info.mode |= 0o444
        if info.type == tarfile.LNKTYPE:
            info.type, info.size = tarfile.REGTYPE, here.stat().st_size
        with here.open("rb") as file:
            self._tar.addfile(info, file)
        if here.suffix == ".so" or ".so." in here.name or info.mode & 0o111:
            self._binaries.append(here)
        if here.suffix == ".py" and (compiled := Path(cache_from_source(str(here)))).is_file():
            # a container with a tenth of a core compiles for seconds, and cannot keep the result
            self._file(compiled, f"{inside.rpartition('/')[0]}/__pycache__/{compiled.name}")

    def _libraries(self) -> None:
        wanted: dict[str, Path] = {}
        for start in range(0, len(self._binaries), 200):
            batch = [str(path) for path in self._binaries[start : start + 200]]
            text = subprocess.run(["ldd", *batch], capture_output=True, text=True, check=False, timeout=60).stdout
            for found in re.findall(r"(/\S+\.so[.\d]*) \(0x", text):
                wanted[found] = Path(found)
        text = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True, timeout=60).stdout
        for name in _EXTRA_LIBRARIES:
            match = re.search(
                rf"{re.escape(name)} \(libc6,x86-64.*\) => (\S+)|{re.escape(name)} \(libc6.*\) => (\S+)", text
            )
            if match:
                path = match.group(1) or match.group(2)
                wanted[path] = Path(path)
        for inside, here in wanted.items():
            if ".venv" not in inside and "site-packages" not in inside:
                self._file(here, inside.lstrip("/"))

    def _folder(self, inside: str, mode: int) -> None:
        info = tarfile.TarInfo(inside)
        info.type, info.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(info)

    def _text(self, inside: str, text: str) -> None:
        info = tarfile.TarInfo(inside)
        info.size, info.mode = len(text), 0o644
        self._tar.addfile(info, io.BytesIO(text.encode()))

    def _link(self, inside: str, target: str) -> None:
        info = tarfile.TarInfo(inside)
        info.type, info.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(info)
