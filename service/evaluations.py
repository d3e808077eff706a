"""What can be measured on which data: models, modules and compositions, on the model's dataset or another."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.specs import DatasetInfo, EvaluateSpec
from service.compositions import service as compositions
from service.compositions.resolution import require_classes
from service.datasets import service as datasets
from service.models import service as models
from service.models.tables import Model
from service.modules import service as modules
from service.platform.database import settings_of
from service.platform.errors import (
    ClassNotInDatasetError,
    CompositionNotReadyError,
    DatasetMismatchError,
    DatasetNeededError,
    NotFoundError,
)
from service.platform.holding import held


@dataclass(frozen=True)
class Target:
    """What is measured: the model behind it, and the classes it knows itself."""

    model: Model
    classes: Sequence[str]


def find(session: Session, target_id: str) -> Target:
    """What nobody removes before this transaction ends. Raises NotFoundError, CompositionNotReadyError."""
    if target_id.startswith("mdl_"):
        return Target(
            models.get(session, target_id, held), models.classes_of(session, [target_id])[target_id]
        )
    if target_id.startswith("mod_"):
        module = modules.get(session, target_id, held)
        known = modules.classes_of(session, [target_id])[target_id]
        return Target(models.get(session, module.model_id), known)
    if not target_id.startswith("cmp_"):
        raise NotFoundError("Only models (mdl_), modules (mod_) and compositions (cmp_) can be evaluated.")
    composition = compositions.get(session, target_id, held)
    if not composition.ready:
        raise CompositionNotReadyError("The composition is not built yet; wait for its job.")
    return Target(models.get(session, composition.model_id), composition.classes)


def check(session: Session, spec: EvaluateSpec) -> None:
    """Raises what `find`, `require_data` and `require_usable` raise, and InvalidRequestError's kinds."""
    target = find(session, spec.target_id)
    require_classes(target.classes, spec.classes or [])
    if spec.dataset is None:
        require_data(session, target.model)
        return
    info = datasets.require_usable(session, settings_of(session), spec.dataset)
    _require_fit(target, info)
    absent = [name for name in spec.classes or [] if name not in info.class_names]
    if absent:
        raise ClassNotInDatasetError(f"{info.name} has no class {absent[0]!r}.")


def require_data(session: Session, model: Model) -> None:
    """Raises DatasetNeededError, and what `require_usable` raises."""
    dataset = datasets.of_model(session, model.dataset_id)
    if dataset is None:
        raise DatasetNeededError(
            "The model was imported without a dataset: import it with one, or name one to evaluate it on."
        )
    datasets.require_usable(session, settings_of(session), dataset.key)


def _require_fit(target: Target, info: DatasetInfo) -> None:
    """The worker finds out which of the classes a split has images of."""
    if tuple(target.model.input_shape) != info.input_shape:
        raise DatasetMismatchError(
            f"The images of {info.name} are {list(info.input_shape)}, those of the model "
            f"{target.model.input_shape}."
        )
    if not set(target.classes) & set(info.class_names):
        raise DatasetMismatchError(
            f"{info.name} has none of the classes {', '.join(target.classes[:10])}; they are found by name."
        )
