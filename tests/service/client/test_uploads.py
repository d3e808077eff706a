"""Sending a dataset: a folder or a file, in parts, and on after an interruption."""

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from service.client import CleaveApiError, CleaveClient
from service.client.uploads import _pack

PART = 8 << 20


class InterruptedByUserError(Exception):
    """The user's Ctrl-C."""


def test_an_interrupted_upload_goes_on_with_what_is_missing(client: CleaveClient, tmp_path: Path) -> None:
    file = tmp_path / "images.zip"
    file.write_bytes(os.urandom(2 * PART + 1000))
    told: list[int] = []

    def stop_after_a_part(there: int, _: int) -> None:
        told.append(there)
        if there:
            raise InterruptedByUserError

    with pytest.raises(InterruptedByUserError):
        client.datasets.upload(file, "mine", key="k", on_progress=stop_after_a_part)
    assert told == [0, PART]
    told.clear()
    sent = client.datasets.upload(file, "mine", key="k", on_progress=lambda there, _: told.append(there))
    assert told == [PART, 2 * PART, 2 * PART + 1000]
    assert (sent.dataset.name, sent.job.kind) == ("mine", "import")
    again = client.datasets.upload(file, "mine", key="k")
    assert (again.dataset.id, again.job.id) == (sent.dataset.id, sent.job.id)
    assert client.datasets.get(str(sent.dataset.id)).state == "importing"


def test_weights_become_a_model_of_what_was_said(client: CleaveClient, tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    file.write_bytes(b"weights")
    shape: dict[str, Any] = {"input_shape": [1, 8, 8], "mean": [0.5], "std": [0.25]}
    sent = [
        client.models.import_(file, architecture="small_cnn", classes=("a", "b"), key="w", name="n", **shape)
        for _ in range(2)
    ]
    assert sent[0].id == sent[1].id
    assert (sent[0].kind, sent[0].spec["filename"], sent[0].spec["size"]) == ("import_model", file.name, 7)
    asked = {"architecture": "small_cnn", "class_names": ["a", "b"], "name": "n", **shape}
    assert {name: sent[0].spec[name] for name in asked} == asked
    of_digits = client.models.import_(file, architecture="small_cnn", dataset="digits")
    assert (of_digits.id != sent[0].id, len(of_digits.spec["class_names"])) == (True, 10)


def test_a_path_that_is_wrong_makes_no_dataset_and_spends_no_key(
    client: CleaveClient, tmp_path: Path
) -> None:
    there = len(client.datasets.list())
    with pytest.raises(FileNotFoundError):
        client.datasets.upload(tmp_path / "images.zip", "mine", key="unspent")
    assert len(client.datasets.list()) == there
    (tmp_path / "images.zip").write_bytes(b"PK")
    assert (
        client.datasets.upload(tmp_path / "images.zip", "mine", image_size=16, key="unspent").job.kind
        == "import"
    )


def test_another_upload_is_another_dataset(client: CleaveClient, tmp_path: Path) -> None:
    file = tmp_path / "images.zip"
    file.write_bytes(b"PK\x03\x04 nearly")
    ids = {client.datasets.upload(file, "mine", image_size=8).dataset.id for _ in range(2)}
    assert len(ids) == 2


def test_an_option_that_is_not_valid_is_refused(client: CleaveClient, tmp_path: Path) -> None:
    file = tmp_path / "images.zip"
    file.write_bytes(b"x")
    with pytest.raises(CleaveApiError, match="image_sise"):
        client.datasets.upload(file, "mine", image_sise=8)


def test_a_folder_gives_the_same_archive_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    for name in ("b/2.png", "a/1.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(name.encode())
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    _pack(folder, first)
    os.utime(folder / "a/1.png", (1, 1))
    _pack(folder, second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        assert tar.getnames() == ["a/1.png", "b/2.png"]
