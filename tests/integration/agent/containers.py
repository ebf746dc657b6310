"""The Docker command line, and small images made without a network."""

from __future__ import annotations

import io
import subprocess
import tarfile


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def import_image(tag: str, files: dict[str, bytes | str], *changes: str) -> str:
    """Make an image of these files: bytes are programs, text is a link to it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            elif name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o1777
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    words = [word for change in changes for word in ("-c", change)]
    subprocess.run(
        ["docker", "import", *words, "-", tag], input=archive.getvalue(), check=True, capture_output=True, timeout=60
    )
    return tag
