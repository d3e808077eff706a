"""Modules: finding and describing them, and choosing the best one for each class."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.results import ModuleResult
from core.specs import GATED_RECIPES, ModuleForm
from service.artifacts import service as artifacts
from service.models import service as models
from service.models.tables import Model
from service.modules import repository
from service.modules.repository import Candidate
from service.modules.schemas import ClassSearch, ModuleSearch, ModuleView
from service.modules.tables import Module, ModuleClass
from service.platform.answers import Answer
from service.platform.errors import NoModuleForClassError, NotFoundError
from service.platform.holding import Lock, unlocked
from service.platform.ids import new_id
from service.platform.pagination import PageRequest
from service.registry import labels, reading
from service.registry.etags import require_match
from service.registry.labels import LabelsPatch
from service.registry.scores import measured

# A module's sizes and options, named alike in the engine's result, the row and the answer.
SIZE_FIELDS = ("retention_rate", "parameters", "parameter_rate", "flops", "flops_rate", "notes")
_COLUMNS = (
    "id", "model_id", "job_id", "form", "fold_amplitudes", "threshold", "mask_digest", "created_at",
    *SIZE_FIELDS,
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What a choice of modules must fit."""

    classes: Sequence[str]
    form: ModuleForm | None
    model_id: str | None = None


def get(session: Session, module_id: str, lock: Lock = unlocked) -> Module:
    """The module, or NotFoundError."""
    module = repository.find(session, module_id, lock)
    if module is None:
        raise NotFoundError.of("module", module_id)
    return module


def get_many(session: Session, module_ids: Sequence[str]) -> list[Module]:
    """The modules in the order asked, or NotFoundError."""
    found = repository.find_many(session, module_ids)
    missing = [module_id for module_id in module_ids if module_id not in found]
    if missing:
        raise NotFoundError.of("module", missing[0])
    return [found[module_id] for module_id in module_ids]


def classes_of(session: Session, module_ids: Sequence[str]) -> dict[str, list[str]]:
    """Module id -> class names in the order of the outputs."""
    return repository.classes_of(session, module_ids)


def read(session: Session, module_id: str) -> Answer:
    """What `describe` tells, rendered."""
    return reading.one(session, ("module", module_id), repository.find_seen, describe_many)


def describe(session: Session, module_id: str) -> ModuleView:
    """One module with its figures and files."""
    return _views(session, [get(session, module_id)])[0]


def describe_many(session: Session, module_ids: Sequence[str]) -> list[ModuleView]:
    """What `describe` tells of each of these, in any order."""
    return _views(session, repository.told_of(session, module_ids))


def change(session: Session, module_id: str, patch: LabelsPatch, if_match: str | None) -> ModuleView:
    """Change the labels of the module that the caller has seen. Raises PreconditionFailedError."""
    module = repository.find_locked(session, module_id)
    if module is None:
        raise NotFoundError.of("module", module_id)
    require_match(if_match, _views(session, [module])[0])
    labels.change(session, module.tenant_id, module.id, patch)
    return _views(session, [module])[0]


def read_page(session: Session, wanted: ModuleSearch, page: PageRequest) -> Answer:
    """The modules that fit, sorted."""
    return reading.page(session, repository.page(session, wanted, page), describe_many)


def read_page_of_model(session: Session, model_id: str, page: PageRequest) -> Answer:
    """A model's modules, newest first."""
    found = repository.page_of_model(session, models.get(session, model_id).id, page)
    return reading.page(session, found, describe_many)


def read_page_for_class(session: Session, wanted: ClassSearch, page: PageRequest) -> Answer:
    """Modules that know the class and fit, best first by validation data: each a `ClassMatch`."""
    found = repository.best_for_class(session, wanted, page)

    def match(row: Any) -> dict[str, Any]:
        return {
            "name": wanted.name,
            "module_id": row.id,
            "model_id": row.model_id,
            "validation_score": measured(row.score),
        }

    return reading.page_of_named(session, found, describe_many, "module", match)


def rate(session: Session, module_id: str, scores: Mapping[str, float]) -> None:
    """Keep newly measured figures where they can be searched by."""
    repository.rate(session, module_id, scores)


def choose(session: Session, wanted: Wanted) -> list[Module]:
    """For each class the single-class module with the best validation f1, all of one model.

    Modules extracted in the form to be built come first, because their f1 was measured in that form. Without
    a model id, the model whose choice has the best mean f1 wins, of equals the one with the newest modules.

    Raises:
        NoModuleForClassError: no model has a module for every class; names the classes.
    """
    candidates = repository.single_class_candidates(
        session, wanted.classes, model_id=wanted.model_id, gated=wanted.form == "gated"
    )
    choices: dict[str, dict[str, Candidate]] = defaultdict(dict)
    for candidate in sorted(candidates, key=lambda c: _rank(c, wanted.form)):
        choices[candidate.module.model_id][candidate.class_name] = candidate  # the best comes last and stays
    complete = [choice for choice in choices.values() if len(choice) == len(wanted.classes)]
    if not complete:
        raise _no_module(wanted, {candidate.class_name for candidate in candidates})
    best = max(complete, key=_mean_score)
    return [best[name].module for name in wanted.classes]


def ids_of_model(session: Session, model_id: str) -> Sequence[str]:
    """Some of the modules extracted from a model; empty when there are none."""
    return repository.ids_of_model(session, model_id)


def newest_of_model(session: Session, model_id: str) -> tuple[int, list[str]]:
    """How many, and the ids of the newest modules of a model."""
    return repository.newest_of_model(session, model_id)


def remove(session: Session, module_id: str) -> None:
    """Take the module and its classes out. Raises IntegrityError while something refers to it."""
    repository.remove(session, module_id)


def f1_by_threshold(session: Session, model_id: str, form: ModuleForm) -> dict[tuple[str, float], float]:
    """(class, threshold) -> validation f1 of the newest measured one-class module of the model and form."""
    return repository.f1_by_threshold(session, model_id, form)


def best_form(model: Model) -> ModuleForm:
    """The form nearest to the model's own function that it can give."""
    return "gated" if (model.approach, model.recipe) in GATED_RECIPES else "static"


def record(session: Session, *, tenant_id: str, job_id: str, model_id: str, result: ModuleResult) -> str:
    """Keep an extracted module and its classes. Returns its id."""
    fields = ("form", "fold_amplitudes", "threshold", "mask_digest", *SIZE_FIELDS)
    module = Module(
        id=new_id("mod"),
        tenant_id=tenant_id,
        job_id=job_id,
        model_id=model_id,
        **{name: getattr(result, name) for name in fields},
    )
    session.add(module)
    session.flush()
    session.add_all(
        ModuleClass(
            module_id=module.id,
            tenant_id=tenant_id,
            position=position,
            name=name,
        )
        for position, name in enumerate(result.classes)
    )
    return module.id


def _rank(candidate: Candidate, form: ModuleForm | None) -> tuple[bool, float, str]:
    score = -1.0 if candidate.score is None else candidate.score
    return candidate.module.form == (form or best_form(candidate.model)), score, candidate.module.id


def _mean_score(choice: dict[str, Candidate]) -> tuple[float, str]:
    total = sum(candidate.score or 0.0 for candidate in choice.values())
    return total / len(choice), max(candidate.module.id for candidate in choice.values())


def _no_module(wanted: Wanted, known: set[str]) -> NoModuleForClassError:
    missing = [name for name in wanted.classes if name not in known]
    errors = [
        {"pointer": f"/classes/{index}", "code": "no_module_for_class", "message": "no module", "in": "body"}
        for index, name in enumerate(wanted.classes)
        if name in missing
    ]
    if not missing:
        return NoModuleForClassError(
            "No single model has a module for every class. Extract the missing ones first."
        )
    names = ", ".join(repr(name) for name in missing)
    return NoModuleForClassError(
        f"No module knows {names}. Extract one first (job kind extract).", errors=errors
    )


def _views(session: Session, modules: Sequence[Any]) -> list[ModuleView]:
    ids = [module.id for module in modules]
    classes, metrics = classes_of(session, ids), models.metrics_of(session, ids)
    files, labelled = artifacts.of_owners(session, ids), labels.of_owners(session, ids)
    return [
        ModuleView(
            **{name: getattr(module, name) for name in _COLUMNS},
            classes=classes.get(module.id, []),
            tags=labelled[module.id].tags,
            metadata=labelled[module.id].metadata,
            metrics=metrics.get(module.id, []),
            artifacts=files.get(module.id, []),
        )
        for module in modules
    ]
