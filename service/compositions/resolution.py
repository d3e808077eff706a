"""What a request to compose means: which modules, of which model, for which classes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.specs import ComposeSpec, ModuleForm
from service.models import service as models
from service.models.tables import Model
from service.modules import service as modules
from service.modules.service import Wanted
from service.modules.tables import Module
from service.platform.errors import (
    ClassUnknownError,
    FormUnsupportedError,
    ModulesOfDifferentModelsError,
    NoModuleForClassError,
)


@dataclass(frozen=True)
class Resolved:
    """A request to compose with nothing left open."""

    model: Model
    modules: list[Module]
    classes: list[str]
    form: ModuleForm

    def complete(self, spec: ComposeSpec, composition_id: str) -> ComposeSpec:
        """The spec that is stored with the job and handed to the engine."""
        resolved = {
            "model_id": self.model.id,
            "module_ids": [module.id for module in self.modules],
            "classes": self.classes,
            "form": self.form,
            "composition_id": composition_id,
        }
        return ComposeSpec(**{**spec.model_dump(), **resolved})


def resolve(session: Session, spec: ComposeSpec) -> Resolved:
    """Find the modules a request names or means.

    Raises:
        NotFoundError: the model or a module does not exist, or belongs to another tenant.
        ModulesOfDifferentModelsError, ClassUnknownError, NoModuleForClassError, FormUnsupportedError.
    """
    members = _named_modules(session, spec) if spec.module_ids else None
    model_id = members[0].model_id if members else spec.model_id
    if model_id is not None:
        settle_form(models.get(session, model_id), spec.form)
        require_classes(models.classes_of(session, [model_id])[model_id], spec.classes or [])
    if members is None:
        members = modules.choose(session, Wanted(spec.classes or [], spec.form, model_id))
        model_id = members[0].model_id
    known = modules.classes_of(session, [module.id for module in members])
    classes = spec.classes or _all_classes(members, known)
    _require_coverage(classes, {name for names in known.values() for name in names})
    model = models.get(session, members[0].model_id)
    return Resolved(model, members, classes, settle_form(model, spec.form))


def composition_key(resolved: Resolved, spec: ComposeSpec) -> str:
    """sha256 over what determines the composition: equal requests have equal keys."""
    content = {
        "model": resolved.model.id,
        "masks": sorted({module.mask_digest for module in resolved.modules}),
        "classes": resolved.classes,
        "strategy": spec.strategy,
        "form": resolved.form,
        "fold_amplitudes": folds(resolved, spec),
        "formats": sorted(set(spec.formats)),
        # One that was built without figures cannot answer a request for them.
        "evaluate": spec.evaluate,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def folds(resolved: Resolved, spec: ComposeSpec) -> bool:
    """Whether amplitudes are folded in: a gated network computes its own."""
    return spec.fold_amplitudes and resolved.form == "static"


def settle_form(model: Model, wanted: ModuleForm | None) -> ModuleForm:
    """The form asked for, or else the better one that the model has.

    Raises FormUnsupportedError when the model cannot give modules of this form.
    """
    best = modules.best_form(model)
    if wanted == "gated" and best != "gated":
        raise FormUnsupportedError(
            f"A model of {model.approach}, recipe {model.recipe}, has no mask generators to keep; "
            "ask for form static, or for none."
        )
    return wanted or best


def require_classes(known: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises ClassUnknownError naming the places of the classes that are not known."""
    errors = [
        {"pointer": f"/classes/{place}", "code": "class_not_in_model", "message": "not known", "in": "body"}
        for place, name in enumerate(wanted)
        if name not in known
    ]
    if errors:
        strange = ", ".join(repr(name) for name in wanted if name not in known)
        raise ClassUnknownError(f"No class {strange}; known are: {', '.join(known)}.", errors=errors)


def _named_modules(session: Session, spec: ComposeSpec) -> list[Module]:
    members = modules.get_many(session, spec.module_ids or [])
    of_models = {module.model_id for module in members}
    if len(of_models) > 1 or (spec.model_id is not None and of_models != {spec.model_id}):
        raise ModulesOfDifferentModelsError("A union joins modules of one model only.")
    return members


def _all_classes(members: Sequence[Module], known: dict[str, list[str]]) -> list[str]:
    """Every class of the modules, in their order, each once."""
    return list(dict.fromkeys(name for module in members for name in known.get(module.id, [])))


def _require_coverage(classes: Sequence[str], known: set[str]) -> None:
    missing = [name for name in classes if name not in known]
    if missing:
        raise NoModuleForClassError(f"None of the modules knows {', '.join(map(repr, missing))}.")
