"""Regenerates the contract snapshots and the generated docs: `make contracts`, or `python -m tests.contracts.update`."""

from __future__ import annotations

from tests.contracts.snapshots import FOLDER, ROOT, snapshots


def main() -> None:
    """Write what differs, and delete snapshots of messages that no longer exist."""
    wanted = snapshots()
    for path in (ROOT / FOLDER).rglob("*.json"):
        if str(path.relative_to(ROOT)) not in wanted:
            path.unlink()
            print(f"removed {path.relative_to(ROOT)}")
    for name, make in wanted.items():
        path, text = ROOT / name, make()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
