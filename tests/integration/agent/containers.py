"""The Docker command line, and small images made without a network."""

from __future__ import annotations

import io
import json
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


def made_for(architecture: str, image: str, tag: str) -> None:
    """Make `tag`: the same image, which says that it is made for another processor."""
    saved = subprocess.run(["docker", "save", image], check=True, capture_output=True, timeout=60).stdout
    changed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(saved)) as old, tarfile.open(fileobj=changed, mode="w") as new:
        files = {member.name: old.extractfile(member).read() for member in old if member.isfile()}  # type: ignore[union-attr]
        (manifest,) = json.loads(files["manifest.json"])
        config = json.loads(files[manifest["Config"]]) | {"architecture": architecture}
        files["config.json"] = json.dumps(config).encode()
        files["manifest.json"] = json.dumps([manifest | {"Config": "config.json", "RepoTags": [tag]}]).encode()
        for name in {"manifest.json", "config.json", *manifest["Layers"]}:
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            new.addfile(info, io.BytesIO(files[name]))
    subprocess.run(["docker", "load"], input=changed.getvalue(), check=True, capture_output=True, timeout=60)
