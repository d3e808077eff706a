"""Downloads over a real socket: verified, resumed, refused."""

import random
from pathlib import Path

import pytest

from service.client import CleaveClient, DigestMismatchError, DownloadInterruptedError
from service.client.errors import CleaveApiError, CleaveConnectionError
from service.platform.storage import open_store
from tests.service.client.live import CuttingProxy, LiveService

CONTENT = random.Random(7).randbytes(3_000_000)


def test_download_verifies_and_uses_the_file_name_on_record(
    live: LiveService, client: CleaveClient, tmp_path: Path
) -> None:
    artifact_id, blob = live.publish(CONTENT, tmp_path, "module_3.pt2")
    folder = tmp_path / "out"
    folder.mkdir()
    done = client.artifacts.download(artifact_id, folder, blob.sha256)
    assert done.path == folder / "module_3.pt2"
    assert (done.path.read_bytes(), done.sha256, done.received) == (CONTENT, blob.sha256, len(CONTENT))
    assert done.url == f"{live.url}/v1/artifacts/{artifact_id}/content"
    assert client.artifacts.download(artifact_id, folder).received == 0


def test_cut_connections_cost_only_what_had_not_arrived(live: LiveService, tmp_path: Path) -> None:
    artifact_id, _ = live.publish(CONTENT, tmp_path)
    with (
        CuttingProxy(live.url, per_connection=270_000) as proxy,
        CleaveClient(proxy.url, live.api_key, timeout=10) as client,
    ):
        done = client.artifacts.download(artifact_id, tmp_path / "got")
    assert done.path.read_bytes() == CONTENT
    assert proxy.connections >= 12  # the record and the content, cut more than ten times
    assert proxy.statuses.count(206) == proxy.conditions >= 10
    assert done.received == len(CONTENT)


def test_a_second_download_is_answered_304_and_moves_nothing(live: LiveService, tmp_path: Path) -> None:
    artifact_id, _ = live.publish(CONTENT, tmp_path)
    with (
        CuttingProxy(live.url, per_connection=10**9) as proxy,
        CleaveClient(proxy.url, live.api_key, timeout=10) as client,
    ):
        first = client.artifacts.download(artifact_id, tmp_path / "got")
        before = proxy.passed
        second = client.artifacts.download(artifact_id, tmp_path / "got")
    assert (first.received, second.received) == (len(CONTENT), 0)
    assert proxy.statuses == [200, 200, 200, 304]
    assert proxy.passed - before < 5000


def test_a_changed_file_is_fetched_again(live: LiveService, client: CleaveClient, tmp_path: Path) -> None:
    artifact_id, _ = live.publish(CONTENT, tmp_path)
    target = client.artifacts.download(artifact_id, tmp_path / "got").path
    target.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert client.artifacts.download(artifact_id, target).received == len(CONTENT)
    assert target.read_bytes() == CONTENT


def test_a_later_call_continues_what_an_interrupted_one_left(
    live: LiveService, client: CleaveClient, tmp_path: Path
) -> None:
    artifact_id, _ = live.publish(CONTENT, tmp_path)
    folder = tmp_path / "out"
    with (
        CuttingProxy(live.url, per_connection=10**9, total=1_000_000) as proxy,
        CleaveClient(proxy.url, live.api_key, timeout=10) as broken,
        pytest.raises((DownloadInterruptedError, CleaveConnectionError)),
    ):
        broken.artifacts.download(artifact_id, folder / "got")
    assert not (folder / "got").exists()
    done = client.artifacts.download(artifact_id, folder / "got")
    assert 0 < done.received < len(CONTENT) - 500_000
    assert done.path.read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["got"]


def test_tampered_content_is_refused_and_not_kept(
    live: LiveService, client: CleaveClient, tmp_path: Path
) -> None:
    artifact_id, blob = live.publish(b"what was stored" * 100, tmp_path)
    stored = open_store(live.settings).path(blob.sha256)
    stored.chmod(0o644)
    stored.write_bytes(b"what was planted"[:15] * 100)
    folder = tmp_path / "out"
    with pytest.raises(DigestMismatchError):
        client.artifacts.download(artifact_id, folder / "got")
    assert list(folder.iterdir()) == []


def test_another_digest_than_the_expected_is_refused_before_any_byte(
    live: LiveService, client: CleaveClient, tmp_path: Path
) -> None:
    artifact_id, _ = live.publish(b"content", tmp_path)
    with pytest.raises(DigestMismatchError):
        client.artifacts.download(artifact_id, tmp_path / "got", "0" * 64)
    assert not (tmp_path / "got").exists()


def test_a_damaged_rest_of_an_earlier_call_never_becomes_the_file(
    live: LiveService, client: CleaveClient, tmp_path: Path
) -> None:
    artifact_id, blob = live.publish(CONTENT, tmp_path)
    part = tmp_path / f".got.{blob.sha256[:16]}.part"
    part.write_bytes(b"x" * 1000)
    with pytest.raises(DigestMismatchError):
        client.artifacts.download(artifact_id, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    assert client.artifacts.download(artifact_id, tmp_path / "got").received == len(CONTENT)


def test_an_empty_artifact_is_a_file_too(live: LiveService, client: CleaveClient, tmp_path: Path) -> None:
    artifact_id, _ = live.publish(b"", tmp_path)
    assert client.artifacts.download(artifact_id, tmp_path / "got").path.read_bytes() == b""


def test_an_unknown_artifact_is_not_found(client: CleaveClient, tmp_path: Path) -> None:
    with pytest.raises(CleaveApiError) as caught:
        client.artifacts.download("art_00000000000000000000000000000000", tmp_path / "got")
    assert (caught.value.status, caught.value.code) == (404, "not_found")
