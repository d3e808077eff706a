"""Lineage both ways, comparisons, and cards in which callers' words stay words."""

import ast
import re

import pytest

from service.provenance.markdown import plain
from tests.fixtures.client import Account, metric
from tests.fixtures.problems import problem

HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(1)) `a` **b**\n# c\n```\n![i](http://e.example/i)"


@pytest.fixture
def model_id(account: Account) -> str:
    return account.registry.train()


class TestLineage:
    def test_from_the_data_to_the_composition_and_back(self, account: Account, model_id: str) -> None:
        cat, dog = account.registry.extract(model_id, {"cat": 0.9, "dog": 0.8})
        composition = account.registry.compose({"classes": ["cat"]})["composition_id"]
        model = account.http.get(f"/v1/models/{model_id}").json()
        job = account.http.get(f"/v1/jobs/{model['job_id']}").json()

        of_model = account.http.get(f"/v1/models/{model_id}/lineage").json()
        origin = of_model["model"]
        assert (origin["dataset"], origin["dataset_digest"]) == ("digits", "d" * 64)
        assert origin["made_by"] == of_model["made_by"]
        made_by = origin["made_by"]
        assert (made_by["job_id"], made_by["spec_sha256"]) == (job["id"], job["spec_sha256"])
        assert (made_by["seed"], made_by["attempt"], made_by["versions"]) == (
            0,
            1,
            {"cleave": "1", "torch": "2"},
        )
        assert of_model["modules"] == {"total": 2, "ids": [dog, cat]}
        assert of_model["compositions"] == {"total": 1, "ids": [composition]}

        of_module = account.http.get(f"/v1/modules/{cat}/lineage").json()
        assert of_module["model"] == origin
        assert (of_module["made_by"]["kind"], of_module["made_by"]["versions"]) == (
            "extract",
            {"cleave": "1"},
        )
        assert of_module["compositions"] == {"total": 1, "ids": [composition]}
        assert account.http.get(f"/v1/modules/{dog}/lineage").json()["compositions"]["total"] == 0

        of_composition = account.http.get(f"/v1/compositions/{composition}/lineage").json()
        assert of_composition["made_of"] == [cat]
        assert of_composition["model"] == origin
        assert of_composition["made_by"]["kind"] == "compose"

    def test_a_composition_that_waits_is_made_by_nothing_yet(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9})
        waiting = account.registry.submit({"kind": "compose", "classes": ["cat"]}).spec["composition_id"]
        assert account.http.get(f"/v1/compositions/{waiting}/lineage").json()["made_by"] is None


class TestComparison:
    def test_models(self, account: Account, model_id: str) -> None:
        other = account.registry.train(approach="mwt")
        account.registry.evaluate(other, 0.7)
        answer = account.http.get(f"/v1/models/compare?ids={model_id},{other}").json()
        rows = {(r["name"], r["split"], r["class_name"]): r for r in answer["rows"]}
        assert rows["approach", None, None]["values"] == ["nemo", "mwt"]
        assert rows["approach", None, None]["differences"] is None
        assert rows["dataset", None, None]["same"]
        accuracy = rows["accuracy", "test", None]
        assert (accuracy["values"], accuracy["same"]) == ([0.9, 0.7], False)
        assert accuracy["differences"] == [0, pytest.approx(-0.2)]
        assert rows["class_accuracy", "validation", "cat"]["values"] == [0.8, 0.8]

    def test_modules_with_a_figure_that_one_lacks(self, account: Account, model_id: str) -> None:
        a, b = account.registry.extract(model_id, {"cat": 0.9, "dog": None}, parameters=100)
        (c,) = account.registry.extract(model_id, {"cat": 0.5}, parameters=300)
        answer = account.http.get(f"/v1/modules/compare?ids={b},{a},{c}").json()
        rows = {r["name"]: r for r in answer["rows"]}
        assert answer["ids"] == [b, a, c]
        assert (rows["f1"]["values"], rows["f1"]["differences"]) == ([None, 0.9, 0.5], [None, None, None])
        assert rows["parameters"]["differences"] == [0, 0, 200]
        assert rows["classes"]["values"] == [["dog"], ["cat"], ["cat"]]

    def test_compositions_one_of_which_is_not_built(self, account: Account, model_id: str) -> None:
        account.registry.extract(model_id, {"cat": 0.9, "dog": 0.8})
        built = account.registry.compose({"classes": ["cat"]})["composition_id"]
        account.registry.evaluate(built, 0.7)
        asked = account.http.post("/v1/compositions", json={"classes": ["cat", "dog"]}).json()
        waiting = asked["composition"]["id"]
        answer = account.http.get(f"/v1/compositions/compare?ids={built},{waiting}").json()
        rows = {r["name"]: r for r in answer["rows"]}
        assert rows["classes"]["values"] == [["cat"], ["cat", "dog"]]
        assert (rows["ready"]["values"], rows["ready"]["differences"]) == ([True, False], None)
        assert (rows["parameters"]["values"], rows["parameters"]["differences"]) == ([500, None], [0, None])
        assert rows["accuracy"]["values"] == [0.7, None]
        assert rows["model_id"]["same"]

    @pytest.mark.parametrize("ids", ["{m}", "{m},", "," * 11, ""])
    def test_too_few_or_many(self, account: Account, model_id: str, ids: str) -> None:
        refusal = problem(account.http.get(f"/v1/models/compare?ids={ids.format(m=model_id)}"))
        assert refusal["status"] == 422

    def test_what_is_not_there(self, account: Account, stranger: Account, model_id: str) -> None:
        theirs = stranger.registry.train()
        assert problem(account.http.get(f"/v1/models/compare?ids={model_id},{theirs}"))["status"] == 404


class TestCards:
    def test_json_and_markdown_of_each_kind(self, account: Account, model_id: str) -> None:
        (module_id,) = account.registry.extract(model_id, {"cat": 0.9})
        composition_id = account.registry.compose({"classes": ["cat"]})["composition_id"]
        account.http.patch(f"/v1/models/{model_id}", json={"name": "animals", "tags": ["x"]})
        for path in (f"models/{model_id}", f"modules/{module_id}", f"compositions/{composition_id}"):
            card = account.http.get(f"/v1/{path}/card").json()
            assert card["lineage"]["model"]["id"] == model_id
            ast.parse(card["usage"])
            answer = account.http.get(f"/v1/{path}/card", headers={"Accept": "text/markdown, */*;q=0.1"})
            assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
            for heading in ("Classes", "Figures", "Intended use", "Limits", "How it was made"):
                assert f"\n## {heading}\n" in answer.text
            assert "d" * 64 in answer.text
            assert card["usage"] in answer.text
        model = account.http.get("/v1/models/animals@latest/card", headers={"Accept": "text/markdown"}).text
        assert model.startswith("# animals version 1")
        assert "| accuracy | test | all | 0.9 |" in model

    @pytest.mark.parametrize(
        ("accept", "media"),
        [
            ("*/*", "application/json"),
            ("text/markdown", "text/markdown; charset=utf-8"),
            ("application/json, text/markdown", "application/json"),
            ("text/markdown, application/json", "text/markdown; charset=utf-8"),
            ("text/markdown;q=0.5, application/json", "application/json"),
            ("text/markdown;q=0", "application/json"),
            ("text/markdown;q=x", "application/json"),
        ],
    )
    def test_what_is_preferred(self, account: Account, model_id: str, accept: str, media: str) -> None:
        answer = account.http.get(f"/v1/models/{model_id}/card", headers={"Accept": accept})
        assert answer.headers["Content-Type"] == media

    def test_names_from_callers_stay_text(self, account: Account) -> None:
        model_id = account.registry.train(classes=[HOSTILE[:200], "b"])
        (module_id,) = account.registry.extract(model_id, {HOSTILE[:200].replace("+", ""): 0.9})
        line = HOSTILE.replace("\n", " ")  # labels have one; class names of older data may have several
        labels = {"tags": [line[:64]], "metadata": {"k": line}}
        assert account.http.patch(f"/v1/modules/{module_id}", json=labels).status_code == 200
        answer = account.http.get(f"/v1/modules/{module_id}/card", headers={"Accept": "text/markdown"})
        prose, code = re.split("^```python\n", answer.text, flags=re.M)
        code, rest = re.split("^```\n", code, flags=re.M)
        ast.parse(code)
        for text in (prose, rest):
            assert "<" not in text
            assert not re.search(
                r"(?<!\\)\]\(|(?<![\\`])`[a*]|(?<!\\)\*\*|^# c|http:|javascript:", text, re.M
            )
        assert re.findall("^#+ .*", prose + rest, re.M)[1:] == [
            "## Classes", "## Figures", "## Intended use", "## Limits", "## How it was made",
            "## How to use it", "## Labels",
        ]  # fmt: skip

    def test_a_detector_is_told_with_its_threshold(self, account: Account, model_id: str) -> None:
        threshold = metric("decision_threshold", 2.67359, "validation")
        (module_id,) = account.registry.extract(model_id, {"cat": 0.9}, metrics=[threshold])
        usage = account.http.get(f"/v1/modules/{module_id}/card").json()["usage"]
        assert "\nfound = logits[:, 0] > 2.67359 " in usage
        ast.parse(usage)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("0.9444 of small_cnn, by pics-cli; so.", "0.9444 of small_cnn, by pics-cli; so."),
            ("www.evil.example", r"www\.evil\.example"),
            ("http://evil.example/x", r"http\://evil\.example/x"),
            ("1. x", r"1\. x"),
            ("- _x_ *y* [z](u)", r"\- \_x\_ \*y\* \[z\]\(u\)"),
        ],
    )
    def test_only_what_could_be_markup_is_escaped(self, text: str, told: str) -> None:
        assert plain(text) == told

    @pytest.mark.parametrize("character", ["\n", "\u2028", "\u202e", "\x00", "\t"])
    def test_one_line_stays_one(self, character: str) -> None:
        assert plain(f"a{character}b") == "a b"
