"""Reading models; and what registration keeps of a training job."""

from tests.fixtures.client import CLASSES, Account


def test_a_model_says_where_it_comes_from(account: Account) -> None:
    model_id = account.registry.train()
    model = account.http.get(f"/v1/models/{model_id}").json()
    job = account.http.get(f"/v1/jobs/{model['job_id']}").json()
    assert job["result"]["model_id"] == model_id
    assert sorted(job["result"]["artifact_ids"]) == sorted(a["id"] for a in model["artifacts"])
    assert (model["dataset"], model["dataset_digest"]) == ("digits", "d" * 64)
    assert model["classes"] == CLASSES
    assert {a["role"] for a in model["artifacts"]} == {"weights", "recipe", "statistics"}
    nothing = dict.fromkeys(("class_name", "epoch", "dataset"))
    assert {"name": "accuracy", "value": 0.9, "split": "test", **nothing} in model["metrics"]


def test_classes_come_in_the_order_of_the_outputs_with_their_figures(account: Account) -> None:
    model_id = account.registry.train(classes=["zebra", "ant"])
    found = account.http.get(f"/v1/models/{model_id}/classes").json()["data"]
    assert [(c["name"], c["position"]) for c in found] == [("zebra", 0), ("ant", 1)]
    assert [m["value"] for m in found[0]["metrics"]] == [0.8]
    assert found[1]["metrics"] == []


def test_the_list_is_newest_first_and_filtered(account: Account) -> None:
    nemo, mwt = account.registry.train(), account.registry.train(approach="mwt")
    listed = account.http.get("/v1/models").json()["data"]
    assert [m["id"] for m in listed] == [mwt, nemo]
    assert [m["id"] for m in account.http.get("/v1/models?approach=nemo").json()["data"]] == [nemo]
    assert account.http.get("/v1/models?architecture=vgg16").json()["data"] == []


def test_pages_join_to_the_whole_list(account: Account) -> None:
    made = [account.registry.train() for _ in range(5)]
    seen, after = [], ""
    for _ in range(3):
        page = account.http.get(f"/v1/models?limit=2{after}").json()
        seen += [m["id"] for m in page["data"]]
        after = f"&after={page['next_cursor']}"
    assert seen == made[::-1]
    assert (page["has_more"], page["next_cursor"]) == (False, None)


def test_the_newest_evaluation_counts(account: Account) -> None:
    model_id = account.registry.train()
    account.registry.evaluate(model_id, 0.1)
    account.registry.evaluate(model_id, 0.95)
    metrics = account.http.get(f"/v1/models/{model_id}").json()["metrics"]
    assert [m["value"] for m in metrics if m["name"] == "accuracy"] == [0.95]


def test_an_evaluation_on_some_classes_stays_with_its_job(account: Account) -> None:
    model_id = account.registry.train()
    result = account.registry.evaluate(model_id, 0.1, classes=["cat"])
    metrics = account.http.get(f"/v1/models/{model_id}").json()["metrics"]
    assert [m["value"] for m in metrics if m["name"] == "accuracy"] == [0.9]
    assert [m["value"] for m in result["metrics"]] == [0.1]


def test_architectures_are_those_of_the_catalog(account: Account) -> None:
    names = [a["name"] for a in account.http.get("/v1/architectures").json()["data"]]
    assert "small_cnn" in names


def test_two_models_of_the_same_data_share_one_dataset_row(account: Account) -> None:
    ids = [account.registry.train() for _ in range(2)]
    rows = {account.http.get(f"/v1/models/{i}").json()["dataset_id"] for i in ids}
    versions = account.http.get("/v1/datasets/digits").json()["versions"]
    assert rows == {v["id"] for v in versions}
    assert len(versions) == 1
