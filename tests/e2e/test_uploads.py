"""Images of one's own: uploaded in pieces, trained on, cut and composed."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Up
from tests.fixtures.uploads import announce, content_digest, digit_pictures, part, zipped
from tests.fixtures.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
NAMES = ["cat", "dog", "owl"]


def done(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    ended: Any = eventually(
        lambda: (j := client.get(f"/v1/jobs/{job['id']}").json())["finished_at"] and j, 120
    )
    assert ended["state"] == "succeeded", ended["error"]
    result: dict[str, Any] = ended["result"]
    return result


def test_a_folder_becomes_modules_with_its_class_names(up: Up) -> None:
    client = up.start()
    content = zipped(digit_pictures(NAMES, 40))
    size = len(content) // 3 + 1
    dataset = client.post("/v1/datasets", json={"name": "pets"}).json()
    upload = announce(client, dataset["id"], content, size)
    base = f"/v1/datasets/{dataset['id']}/uploads/{upload['id']}"
    for number in (1, 3):
        piece = part(content, number, size)
        assert client.put(f"{base}/parts/{number}", content=piece, headers=content_digest(piece)).is_success

    def cut() -> Iterator[bytes]:
        yield part(content, 2, size)[:100]
        raise httpx.WriteError("the connection is gone")

    with pytest.raises(httpx.WriteError):
        client.put(f"{base}/parts/2", content=cut())
    assert client.get(base).json()["missing"] == [2]
    assert client.post(f"{base}/complete").json()["code"] == "upload_incomplete"
    assert client.put(f"{base}/parts/2", content=part(content, 2, size)).is_success
    done(client, client.post(f"{base}/complete").json())

    dataset = client.get(f"/v1/datasets/{dataset['id']}").json()
    assert (dataset["state"], dataset["class_names"]) == ("ready", NAMES)
    assert (dataset["train"], dataset["validation"], dataset["test"]) == (84, 12, 24)
    train = {"kind": "train", "architecture": "small_cnn", "dataset": dataset["id"], "epochs": 2}
    model_id = done(client, client.post("/v1/jobs", json=train).json())["model_id"]
    model = client.get(f"/v1/models/{model_id}").json()
    assert (model["classes"], model["dataset_id"]) == (NAMES, dataset["id"])
    extracted = done(client, client.post("/v1/jobs", json={"kind": "extract", "model_id": model_id}).json())
    assert len(extracted["module_ids"]) == 3
    asked = client.post("/v1/compositions", json={"classes": ["owl", "cat"], "model_id": model_id}).json()
    done(client, asked["job"])
    composition = client.get(f"/v1/compositions/{asked['composition']['id']}").json()
    assert composition["classes"] == ["owl", "cat"]
    assert [m for m in composition["metrics"] if m["name"] == "accuracy" and m["split"] == "test"]
