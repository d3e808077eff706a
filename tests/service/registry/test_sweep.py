"""A sweep tells what is measured already beside what would be."""

from core.results import SweepPoint, SweepResult, SweptModule
from tests.fixtures.client import Account


def test_f1_is_that_of_the_module_extracted_so(account: Account) -> None:
    model = account.registry.train()
    account.registry.extract(model, {"cat": 0.75, "dog": None})  # at 0.9, gated
    sizes = {"retention_rate": 0.5, "parameters": 5, "parameter_rate": 0.5, "flops": 5, "flops_rate": 0.5}
    points = [
        SweepPoint(
            threshold=threshold,
            coupling=0.5,
            modules=[SweptModule(class_name=n, **sizes) for n in ("cat", "dog")],
        )
        for threshold in (0.5, 0.9)
    ]
    spec = {"kind": "sweep", "model_id": model, "thresholds": [0.9, 0.5]}
    result = account.registry.run(spec, SweepResult(model_id=model, form="gated", points=points))
    told = {
        (p["threshold"], m["class_name"]): m["f1_validation"] for p in result["points"] for m in p["modules"]
    }
    assert told == {(0.5, "cat"): None, (0.5, "dog"): None, (0.9, "cat"): 0.75, (0.9, "dog"): None}


def test_form_is_settled_and_thresholds_are_sorted(account: Account) -> None:
    model = account.registry.train()
    answer = account.http.post(
        "/v1/jobs", json={"kind": "sweep", "model_id": model, "thresholds": [0.9, 0.1, 0.9]}
    )
    assert answer.status_code == 202
    spec = answer.json()["spec"]
    assert (spec["form"], spec["thresholds"]) == ("gated", [0.1, 0.9])
    refused = account.http.post("/v1/jobs", json={"kind": "sweep", "model_id": model, "thresholds": [0.0]})
    assert refused.status_code == 422
