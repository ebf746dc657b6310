"""`headrace backup` and `headrace restore` with the managers' settings: real databases, real files, the real API before and after."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from headrace.backup.archive import Reader
from headrace.backup.database import UNDER_WAY
from headrace.backup.errors import BackupError
from headrace.common.contracts.manifest import DIGESTS
from headrace.common.db.pool import Pool, open_pool
from headrace.common.runtime.secrets_keys import new_secrets_key
from headrace.install.files import STATE
from headrace.manager.secret_keys import SealedSecret, SecretKeys
from tests.support.databases import Databases
from tests.support.worlds.manager_api import ManagerApi, serving

DEFINITION = """
models:
  - name: chat
    model_path: /models
    service: {start_command: [serve], port: 8000}
"""
SECRET = "ab" * 32
KEYS = (new_secrets_key(), "secret-key")


@dataclass
class Place:
    """An installation's database, folders and settings file."""

    url: str
    root: Path
    config: Path

    @property
    def folders(self) -> Path:
        return self.root / "folders"


def place(root: Path, url: str, *, secret: str = SECRET, keys: Sequence[str] = KEYS) -> Place:
    root.mkdir(exist_ok=True)
    config = root / "manager.toml"
    lines = {
        "database_url": url,
        "folders_root": str(root / "folders"),
        "secret_key": secret,
        "secrets_keys": keys,
        "listen_port": 1,
    }
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
    return Place(url, root, config)


async def headrace(*words: str | Path, home: Path, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command; return exit code, output, errors."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.cli", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "HOME": str(home), **(environ or {})},
    )
    out, err = await ran.communicate()
    assert "Traceback" not in err.decode(), err.decode()
    return ran.returncode or 0, out.decode("latin-1"), err.decode()


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> Place:
    """The installation that is backed up."""
    return place(tmp_path / "here", database_url)


@pytest.fixture
async def there(databases: Databases, tmp_path: Path) -> AsyncIterator[Place]:
    """An empty one."""
    url = await databases.take()
    yield place(tmp_path / "there", url)
    await databases.give_back(url)


def settings_of(one: Place) -> dict[str, Any]:
    return {"secret_key": SECRET, "secrets_keys": KEYS, "folders_root": one.folders}


async def filled(api: ManagerApi) -> dict[str, str]:
    """Make something of most kinds; return what callers hold."""
    admin = api.admin
    folder = await admin.folder("chat", {"model-definition.yaml": DEFINITION, "weights/a.bin": b"a" * 3_000_000})
    (api.folders / folder / "link").symlink_to("weights/a.bin")
    os.link(api.folders / folder / "weights/a.bin", api.folders / folder / "weights/b.bin")
    body = {"name": "chat", "project": "default", "folder": "chat", "image": "x:1", "replicas": 1}
    await admin.call("POST", "/v1/services", {**body, "slots": {"cpu": "1", "mem": "1g"}})
    await api.runs("chat")
    token = await admin.call("POST", "/v1/services/chat/tokens", {"name": "app"})
    client = await admin.call("POST", "/v1/services/chat/clients", {"name": "app"})
    await admin.call("PUT", "/v1/projects/default/secrets/hub", {"value": "hf_value"})
    user = await api.user("ann", default="member")
    return {"token": token["token"], "token_id": token["id"], "client": client["secret"], "key": user.key}


async def rows_in(url: str) -> dict[str, list[str]]:
    """Return all rows of all tables, without what names transactions of their database."""
    con = await asyncpg.connect(url)
    try:
        tables = [
            row[0]
            for row in await con.fetch(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            )
        ]
        return {
            table: [
                row[0] for row in await con.fetch(f"select (to_jsonb(t) - 'changed')::text from {table} t order by 1")
            ]
            for table in tables
            if table not in {*UNDER_WAY, "publications"}
        }
    finally:
        await con.close()


async def empty_again(one: Place) -> bool:
    """Return whether a place is as it was before anything was restored."""
    names = [path.name for path in one.folders.iterdir()] if one.folders.exists() else []
    return names == [] and (await rows_in(one.url))["users"] == []


async def backed_up(here: Place, pool: Pool, file: Path) -> dict[str, str]:
    async with serving(pool, here.root, **settings_of(here)) as api:
        held = await filled(api)
        code, _, err = await headrace("backup", file, "--config", here.config, home=here.root)
        assert code == 0, err
    return held


async def test_everything_comes_back_and_what_callers_hold_still_opens(
    here: Place, there: Place, pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    held = await backed_up(here, pool, file)
    assert file.stat().st_mode & 0o777 == 0o600
    code, out, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert code == 0, err
    assert "restored" in out
    assert SECRET not in out + err
    before, after = await rows_in(here.url), await rows_in(there.url)
    events = [json.loads(event) for event in after["events"] if event not in before["events"]]
    assert [event["action"] for event in events] == ["installation.restored"]
    lacking = [json.loads(event)["action"] for event in before["events"] if event not in after["events"]]
    assert lacking == ["installation.backed-up"]  # said when the file was whole
    assert "installation.backup-started" in {json.loads(event)["action"] for event in before["events"]}
    assert {name for name in before if before[name] != after[name]} == {"events"}
    assert before["services"]

    files = {
        str(path.relative_to(here.folders)): path
        for path in here.folders.rglob("*")
        if ".uploads" not in path.parts and path.name != DIGESTS
    }
    back = {str(path.relative_to(there.folders)): path for path in there.folders.rglob("*")}
    assert {name for name in files if not name.startswith(".uploads")} == back.keys()
    for name, path in files.items():
        assert (path.lstat().st_mode, path.is_symlink()) == (back[name].lstat().st_mode, back[name].is_symlink()), name
        if path.is_file() and not path.is_symlink():
            assert path.read_bytes() == back[name].read_bytes()
            assert path.stat().st_mtime_ns == back[name].stat().st_mtime_ns
    assert len({path.stat().st_ino for name, path in back.items() if name.endswith(".bin")}) == 1

    async with open_pool(there.url, size=5) as again, serving(again, there.root, **settings_of(there)) as api:
        ann = type(api.admin)(api.url, held["key"])
        tokens = await ann.call("GET", "/v1/services/chat/tokens")
        assert [token["id"] for token in tokens["items"]] == [held["token_id"]]
        # the signing key can be read: new tokens are signed by the same one
        made = await ann.call("POST", "/v1/services/chat/tokens", {"name": "other"})
        assert made["token"].split(".")[0] == held["token"].split(".")[0]
        await ann.http.aclose()
        row = await again.fetchrow("select * from secret_versions")
    sealed = SealedSecret(row["value"], row["data_key"], row["key_id"])
    assert SecretKeys(bytes.fromhex(SECRET), KEYS).open(sealed, row["secret_id"], row["version"]) == "hf_value"


async def test_a_backup_is_a_tar_archive_that_says_what_it_is(here: Place, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    with tarfile.open(file) as archive:
        names = archive.getnames()
        assert names[:2] == ["backup.json", "secrets.json"]
        assert names[-1] == "end.json"
        part = archive.extractfile("database/users/000001.gz")
        assert part is not None
        assert len(gzip.decompress(part.read()).splitlines()) == 2
        assert not any("uploads" in name for name in names)
    code, out, _ = await headrace("restore", file, "--check", "--json", home=tmp_path)
    facts = json.loads(out)
    # Files: two, with names in the folder and in its snapshot, and that snapshot's manifest.
    assert (code, facts["folder_count"], facts["files"], facts["restored"]) == (0, 1, 3, False)
    # the same again, to standard output
    code, out, _ = await headrace("backup", "-", "--config", here.config, home=tmp_path)
    file.write_bytes(out.encode("latin-1"))
    assert code == 0
    with Reader(file) as reader:
        assert reader.end.rows["users"] == 2


async def test_a_changed_or_cut_file_is_refused_and_changes_nothing(
    here: Place, there: Place, pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    content = file.read_bytes()
    with tarfile.open(file) as archive:
        starts = {info.name: (info.offset, info.offset_data) for info in archive.getmembers()}
    last = starts["end.json"][1]
    for at in sorted({place for both in starts.values() for place in both} - {last}):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(BackupError, match=r"changed|not whole|no backup|cannot be read"):
            Reader(file)
        file.write_bytes(content[:at])
        with pytest.raises(BackupError, match=r"not whole|no backup"):
            Reader(file)
    for words in (["--check"], ["--config", str(there.config)]):
        code, out, err = await headrace("restore", file, *words, home=tmp_path)
        assert (code, out, len(err.strip().splitlines())) == (1, "", 1)
    assert await empty_again(there)


async def test_what_is_not_empty_is_left_alone(here: Place, there: Place, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    code, _, err = await headrace("restore", file, "--config", here.config, home=tmp_path)
    assert code == 1
    assert "the installation is not empty: found 1 services, 1 folders" in err
    (there.folders / "somebodys").mkdir(parents=True)
    code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert (code, "is not empty (found somebodys)" in err) == (1, True)
    assert (await rows_in(there.url))["users"] == []
    (there.folders / "somebodys").rmdir()

    # one that was started and nothing more is empty, once its managers are stopped
    async with (
        open_pool(there.url, size=2, application="headrace-manager") as theirs,
        serving(theirs, there.root, **settings_of(there)),
    ):
        code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
        assert (code, "stop all managers" in err) == (1, True)
    code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert code == 0, err


async def test_another_key_or_schema_is_refused_in_words(here: Place, there: Place, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    other = place(tmp_path / "other", there.url, secret="cd" * 32)
    code, _, err = await headrace("restore", file, "--config", other.config, home=tmp_path)
    assert (code, "headrace init DIR --from" in err, SECRET in err) == (1, True, False)
    other = place(tmp_path / "other", there.url, keys=())
    code, _, err = await headrace("restore", file, "--config", other.config, home=tmp_path)
    key_id, _, key = KEYS[0].partition(":")
    assert (code, f"lacks the keys {key_id} of the backup" in err, key in err) == (1, True, False)
    con = await asyncpg.connect(here.url)
    await con.execute("insert into schema_migrations (number, name, checksum) values (9999, 'later', 'x')")
    code, _, err = await headrace("backup", tmp_path / "b", "--config", here.config, home=tmp_path)
    assert (code, "the database has schema 9999" in err, (tmp_path / "b").exists()) == (1, True, False)
    await con.execute("delete from schema_migrations where number = 9999")
    await con.close()
    assert await empty_again(there)


async def test_a_failed_load_leaves_no_rows_and_no_files(here: Place, there: Place, pool: Pool, tmp_path: Path) -> None:
    """The rows are refused at the very end, after all files were gathered; then the same command is run again."""
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    con = await asyncpg.connect(there.url)
    await con.execute("alter table tokens add constraint refuses check (name <> 'app')")
    code, out, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert (code, out, "the database refused" in err) == (1, "", True)
    assert await empty_again(there)
    await con.execute("alter table tokens drop constraint refuses")
    await con.close()
    # as after a kill between the move of the files and the commit
    (there.folders / ".restoring" / "files").mkdir(parents=True)
    (there.folders / "left").mkdir()
    (there.folders / "file").write_text("no folder")
    (there.folders / "link").symlink_to(there.folders)
    (there.folders / ".restoring" / "moved.json").write_text('["left", "file", "link", "not moved yet"]')
    code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert code == 0, err
    assert not {path.name for path in there.folders.iterdir()} & {"left", "file", "link", ".restoring"}


async def test_folders_by_reference_must_be_there(here: Place, there: Place, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    await backed_up(here, pool, file)
    whole = file.stat().st_size
    code, _, err = await headrace("backup", file, "--config", here.config, "--folders", "reference", home=tmp_path)
    assert code == 0, err
    assert file.stat().st_size < whole / 10
    code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert (code, "1 of its folders are not below" in err) == (1, True)
    assert (await rows_in(there.url))["users"] == []
    here.folders.rename(there.folders)
    code, _, err = await headrace("restore", file, "--config", there.config, home=tmp_path)
    assert code == 0, err


async def test_the_files_of_the_installation_come_back_too(here: Place, tmp_path: Path) -> None:
    etc, again, file = tmp_path / "etc", tmp_path / "again", tmp_path / "backup.tar"
    words = ("--url", "https://ml.example.com", "--layout", "host", "--agent", "gpu-1=10.0.0.5")
    assert (await headrace("init", etc, *words, home=tmp_path))[0] == 0
    # with its own database in place of the one that these settings name
    environ = {"HEADRACE_MANAGER_DATABASE_URL": here.url, "HEADRACE_MANAGER_FOLDERS_ROOT": str(here.folders)}
    config = etc / "settings/manager.toml"
    code, out, err = await headrace("backup", file, "--config", config, "--json", home=tmp_path, environ=environ)
    assert (code, json.loads(out)["holds_installation"]) == (0, True), err
    for _ in range(2):  # the second time nothing changes
        code, out, err = await headrace("init", again, "--from", file, home=tmp_path)
        assert code == 0, err
    assert "nothing to do" in out
    files = sorted(path.relative_to(etc) for path in etc.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    for path in files:
        assert (etc / path).read_text().replace(str(etc), str(again)) == (
            again / path
        ).read_text() or path.name == STATE
        assert (etc / path).stat().st_mode == (again / path).stat().st_mode
    code, _, err = await headrace("init", here.root, "--from", file, home=tmp_path)
    assert (code, "holds other files" in err) == (1, True)
    assert (await headrace("backup", file, "--config", here.config, home=tmp_path))[0] == 0
    code, _, err = await headrace("init", tmp_path / "none", "--from", file, home=tmp_path)
    assert (code, "holds no installation.json" in err, (tmp_path / "none").exists()) == (1, True, False)


async def test_a_database_that_is_away_and_missing_settings_are_one_line(here: Place, tmp_path: Path) -> None:
    away = place(tmp_path / "away", "postgresql://u:secret@127.0.0.1:1/x")
    code, _, err = await headrace("backup", tmp_path / "b", "--config", away.config, home=tmp_path)
    assert (code, "the database cannot be reached" in err, "secret" in err) == (1, True, False)
    code, _, err = await headrace("backup", tmp_path / "b", "--config", tmp_path / "no.toml", home=tmp_path)
    assert (code, "no.toml" in err) == (1, True)
    code, _, err = await headrace("backup", tmp_path / "b", "--data", tmp_path / "nothing", home=tmp_path)
    assert (code, "holds none" in err) == (1, True)
    code, _, err = await headrace("backup", tmp_path / "no/such/b", "--config", here.config, home=tmp_path)
    assert (code, "cannot be made: there is no folder" in err) == (1, True)
    (tmp_path / "text").write_text("text")
    for file in (tmp_path / "text", tmp_path / "no", Path("/dev/null")):
        code, _, err = await headrace("restore", file, "--check", home=tmp_path)
        assert (code, len(err.strip().splitlines())) == (1, 1)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".b.")]
