"""Names and aliases that many change at once: every change is made, in some order."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

from service.models import names, repository
from tests.fixtures.client import Account, Api
from tests.service.test_holding import require_waiting


def test_who_renames_waits_for_the_name_before_the_model(api: Api, account: Account) -> None:
    first, second = account.registry.train(), account.registry.train()
    path = f"/v1/models/{second}"
    account.http.patch(f"/v1/models/{first}", json={"name": "digits"})
    with ThreadPoolExecutor(1) as pool:
        with api.database.write(account.tenant_id) as session:
            # As one does who moves an alias, and who may need the other model too.
            names.hold(session, account.tenant_id, "digits")
            answer = pool.submit(account.http.patch, path, json={"name": "digits"})
            require_waiting(api.database, answer)
            assert repository.find_locked(session, second) is not None
        assert answer.result(30).json()["version"] == 2


def test_renaming_and_moving_aliases_at_once(account: Account) -> None:
    models = [account.registry.train() for _ in range(4)]
    for model, name in zip(models, ["a", "b", "a", "b"], strict=True):
        account.http.patch(f"/v1/models/{model}", json={"name": name})

    def change(turn: tuple[int, str]) -> int:
        number, name = turn
        path = f"/v1/models/{models[number % 4]}"
        if number % 3:
            return account.http.put(f"{path}/aliases/champion").status_code
        return account.http.patch(path, json={"name": name}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(change, product(range(12), ["a", "b", "c"]))) == {200}
    found = [account.http.get(f"/v1/models/{model}").json() for model in models]
    assert len({(model["name"], model["version"]) for model in found}) == 4
