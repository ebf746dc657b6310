"""What the files of kernels on the process runtime say, whole and broken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.agent.runtime.process.layout import KernelLayout
from headrace.agent.runtime.process.runtime import ProcessRuntime
from headrace.agent.runtime.process.state_files import KernelStateFiles, StartRecord
from headrace.common.contracts.ids import KernelId, ServiceId, SessionId, new_uuid

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def kernel(data: Path, *, service: bool = True, group: Path | None = None) -> tuple[KernelLayout, StartRecord]:
    layout = KernelLayout(data, KernelId(new_uuid()))
    layout.folder.mkdir(parents=True)
    started = StartRecord(
        SessionId(new_uuid()), ServiceId(new_uuid()) if service else None, 20_001, NOW, mem_bytes=5, group=group
    )
    started.write(layout)
    return layout, started


@pytest.mark.parametrize("group", [None, Path("/sys/fs/cgroup/x")])
@pytest.mark.parametrize("service", [True, False])
def test_what_is_written_is_read(tmp_path: Path, *, service: bool, group: Path | None) -> None:
    layout, started = kernel(tmp_path, service=service, group=group)
    assert StartRecord.read(layout) == started


def test_what_an_older_version_wrote_is_read(tmp_path: Path) -> None:
    layout, started = kernel(tmp_path, service=False)
    layout.spec.write_text(
        f'{{"session_id": "{started.session_id}", "service_id": null, "port": 20001, "created_at": "2026-01-01T00:00:00+00:00"}}'
    )
    assert StartRecord.read(layout) == StartRecord(started.session_id, None, 20_001, NOW, None, None)


def test_a_kernel_without_a_shim_is_one_whose_start_was_cut_and_one_with_a_code_has_exited(tmp_path: Path) -> None:
    layout, _ = kernel(tmp_path)
    files = KernelStateFiles(tmp_path, "h")
    seen = files.observe(layout.kernel_id)
    assert seen is not None
    assert (seen.phase, seen.port, seen.exit_code) == ("created", 20_001, None)
    layout.state.write_text('{"shim": 1, "shim_ticks": 1, "child": 1, "child_ticks": 1, "boot": "another"}')
    layout.exit.write_text('{"code": 3}')
    seen = files.observe(layout.kernel_id)
    assert seen is not None
    assert (seen.phase, seen.exit_code) == ("exited", 3)


async def test_folders_that_cannot_be_read_cost_themselves_only(tmp_path: Path) -> None:
    layout, _ = kernel(tmp_path)
    for text in ("", "[]", "{}", "null", '{"session_id": 5}', '{"session_id": "x", "service_id": null, "port": "y"}'):
        broken, _ = kernel(tmp_path)
        broken.spec.write_text(text)
    (tmp_path / "kernels" / "lost+found").mkdir()
    runtime = ProcessRuntime(tmp_path, host="h", log_bytes=1, environ={})
    assert set(await runtime.list()) == {layout.kernel_id}
