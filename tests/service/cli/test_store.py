"""cleave gc, verify, delete: what they tell, and with which status they end."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.platform.database import Database
from service.platform.storage import open_store
from tests.fixtures.database import copy_sqlite, settings_for
from tests.service.cli.test_commands import cleave
from tests.service.client.live import LiveService


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[LiveService]:
    """A database and a store without processes."""
    settings = settings_for(tmp_path)
    copy_sqlite(settings)
    database = Database(settings)
    yield LiveService("", "", settings, database)
    database.dispose()


def test_rehearsed_done_and_verified(shelf: LiveService, tmp_path: Path) -> None:
    data_dir = ("--data-dir", str(shelf.settings.home))
    _, kept = shelf.publish(b"on record", tmp_path)
    (tmp_path / "orphan").write_bytes(b"nobody's")
    store = open_store(shelf.settings)
    orphan = store.ingest(tmp_path / "orphan")
    spared = json.loads(cleave("gc", "--json", *data_dir).stdout)
    assert (spared["removed"], spared["young"]) == (0, 1)
    rehearsal = json.loads(cleave("gc", "--dry-run", "--grace-hours", "0", "--json", *data_dir).stdout)
    assert (rehearsal["removed"], rehearsal["dry_run"], store.exists(orphan.sha256)) == (1, True, True)
    done = cleave("gc", "--grace-hours", "0", *data_dir)
    assert (done.exit_code, "removed            1 files, 8 B" in done.stdout) == (0, True)
    assert not store.exists(orphan.sha256)
    assert cleave("verify", *data_dir).stdout.startswith("intact")
    store.path(kept.sha256).unlink()
    broken = cleave("verify", *data_dir)
    assert broken.exit_code == 1
    assert broken.stdout.startswith("NOT intact")
    assert kept.sha256 in broken.stdout
    assert json.loads(cleave("gc", "--json", *data_dir).stdout)["missing"] == [kept.sha256]


def test_delete_names_what_it_can_remove(live: LiveService) -> None:
    assert cleave("delete", "job_1", live=live).exit_code == 2
    for thing in ("mdl_1", "mod_1", "cmp_1"):
        refused = cleave("delete", thing, live=live)
        assert (refused.exit_code, refused.stderr[:18]) == (1, "error [not_found]:")
    for command in ("delete", "download", "bundle"):
        refused = cleave(command, "animals@champion", live=live)
        assert (refused.exit_code, "There is no model animals@champion." in refused.stderr) == (1, True)
