"""Models: finding and describing them; and the figures measured of models, modules and compositions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from core.results import ImportModelResult, MetricValue, TrainResult
from service.artifacts import service as artifacts
from service.datasets import service as datasets
from service.models import names, repository
from service.models.schemas import MetricView, ModelClassView, ModelPatch, ModelSearch, ModelView
from service.models.tables import Metric, Model, ModelClass
from service.platform.answers import Answer
from service.platform.errors import DatasetNeededError, NotFoundError
from service.platform.holding import Lock, unlocked
from service.platform.ids import new_id
from service.platform.pagination import ListOf, PageRequest
from service.registry import labels, reading
from service.registry.etags import require_match
from service.registry.search import Origin
from service.tenants import service as tenants


def get(session: Session, model_id: str, lock: Lock = unlocked) -> Model:
    """The model of an id or of `name@alias`, or NotFoundError."""
    model = names.find(session, model_id, lock)
    if model is None:
        raise NotFoundError.of("model", model_id)
    return model


def require_statistics(session: Session, model: Model) -> None:
    """Whether modules can be cut from it. Raises DatasetNeededError."""
    # Not the dataset: imports that named one once took nothing but its description.
    if all(file.role != "statistics" for file in artifacts.of_owners(session, [model.id]).get(model.id, [])):
        raise DatasetNeededError(
            "The model was imported without statistics, so nothing says what its neurons do for each class: "
            "import it again with a dataset, or train from it (initial_model_id)."
        )


def classes_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> class names in the order of the outputs."""
    return repository.classes_of(session, model_ids)


def read(session: Session, model_id: str) -> Answer:
    """What `describe` tells, rendered."""
    return reading.one(session, ("model", model_id), names.find_seen, describe_many)


def describe(session: Session, model_id: str) -> ModelView:
    """One model with its classes, figures and files."""
    return _views(session, [get(session, model_id)])[0]


def describe_many(session: Session, model_ids: Sequence[str]) -> list[ModelView]:
    """What `describe` tells of each of these, in any order."""
    return _views(session, repository.told_of(session, model_ids))


def change(session: Session, model_id: str, patch: ModelPatch, if_match: str | None) -> ModelView:
    """Change name and labels of the model that the caller has seen. Raises PreconditionFailedError."""
    if "name" in patch.model_fields_set:
        _name_alone(session)
    model = _seen(session, model_id, if_match)
    if "name" in patch.model_fields_set:
        names.rename(session, model, patch.name)
    labels.change(session, model.tenant_id, model.id, patch)
    return _views(session, [model])[0]


def point(session: Session, model_id: str, alias: str, if_match: str | None) -> ModelView:
    """Let an alias of the model's name stand for this version; it stood for another, or for none."""
    _name_alone(session)
    holder = names.holder(session, get(session, model_id), alias)
    model = _seen(session, model_id, if_match, *holder)
    names.point(session, model, alias)
    return _views(session, [model])[0]


def release(session: Session, model_id: str, alias: str, if_match: str | None) -> None:
    """Take an alias off the model."""
    names.release(session, _seen(session, model_id, if_match), alias)


def _name_alone(session: Session) -> None:
    """Nobody else gives the tenant's models names, or moves aliases, until this transaction ends.

    Both are about several models: two that each have one and wait for the other's would wait for ever.
    """
    tenants.lock(session, session.info["tenant_id"])


def _seen(session: Session, model_id: str, if_match: str | None, *others: str) -> Model:
    """The model, locked with the others, if it still is as the caller has seen it."""
    model = repository.find_locked(session, get(session, model_id).id, *others)
    if model is None:
        raise NotFoundError.of("model", model_id)
    require_match(if_match, _views(session, [model])[0])
    return model


def read_page(session: Session, wanted: ModelSearch, page: PageRequest) -> Answer:
    """The models that fit, sorted."""
    return reading.page(session, repository.page(session, wanted, page), describe_many)


def of_origin(session: Session, column: Any, origin: Origin) -> list[ColumnElement[bool]]:
    """To search modules by: the conditions that a column names a model of such an origin."""
    return repository.of_origin(session, column, origin)


def rate(session: Session, model_id: str, scores: Mapping[str, float]) -> None:
    """Keep newly measured figures where they can be searched by."""
    own = {name: value for name, value in scores.items() if hasattr(Model, name)}
    if own:
        repository.rate(session, model_id, own)


def describe_classes(session: Session, model_id: str) -> ListOf[ModelClassView]:
    """A model's classes in the order of its outputs, each with its own figures."""
    model_id = get(session, model_id).id
    metrics = metrics_of(session, [model_id]).get(model_id, [])
    return ListOf[ModelClassView].of(
        [
            ModelClassView(name=name, position=position, metrics=[m for m in metrics if m.class_name == name])
            for position, name in enumerate(classes_of(session, [model_id]).get(model_id, []))
        ]
    )


def metrics_of(session: Session, owner_ids: Sequence[str]) -> dict[str, list[MetricView]]:
    """The newest figure of each name, split, class, epoch and dataset, for each owner that has any."""
    newest: dict[str, dict[tuple[str | None, ...], MetricView]] = {}
    for row in repository.metrics_of(session, owner_ids):
        view = MetricView(
            name=row.name,
            value=row.value,
            split=row.split,
            class_name=row.class_name,
            epoch=row.epoch,
            dataset=row.dataset,
        )
        key = (row.name, row.split, row.class_name, str(row.epoch), row.dataset)
        newest.setdefault(row.owner_id or "", {})[key] = view
    return {owner: list(views.values()) for owner, views in newest.items()}


def record_metrics(
    session: Session,
    *,
    tenant_id: str,
    job_id: str,
    owner_id: str | None,
    metrics: Iterable[MetricValue],
    dataset_id: str | None = None,
) -> None:
    """Keep measured figures; without an owner they belong to the job alone.

    dataset_id: what they were measured on, where it is not the dataset that the model is of.
    """
    of = {"tenant_id": tenant_id, "job_id": job_id, "owner_id": owner_id, "dataset_id": dataset_id}
    session.add_all(Metric(**of, **metric.model_dump()) for metric in metrics)


def ids_started_from(session: Session, model_id: str) -> Sequence[str]:
    """Some of the models whose training began with this one's weights."""
    return repository.ids_started_from(session, model_id)


def newest_started_from(session: Session, model_id: str) -> tuple[int, list[str]]:
    """How many such models, and the ids of the newest."""
    return repository.newest_started_from(session, model_id)


def remove(session: Session, model_id: str) -> None:
    """Take the model and its classes out. Raises IntegrityError while something refers to it."""
    repository.remove(session, model_id)


def remove_metrics(session: Session, owner_id: str) -> None:
    """Forget what was measured of a model, module or composition."""
    repository.remove_metrics(session, owner_id)


def record(
    session: Session,
    *,
    tenant_id: str,
    job_id: str,
    dataset_id: str | None,
    result: TrainResult | ImportModelResult,
) -> Model:
    """Keep a trained or imported model and its classes."""
    training: dict[str, Any] = {"origin": "imported", "approach": "standard", "recipe": "published"}
    if isinstance(result, TrainResult):
        training = {"origin": "trained"} | result.model_dump(include={"approach", "recipe", "seed"})
        training["initial_model_id"] = result.initial and result.initial.model_id
    model = Model(
        id=new_id("mdl"),
        tenant_id=tenant_id,
        job_id=job_id,
        dataset_id=dataset_id,
        **training,
        **result.model_dump(
            include={"architecture", "input_shape", "units", "parameters", "flops", "versions"}
        ),
    )
    session.add(model)
    session.flush()
    session.add_all(
        ModelClass(model_id=model.id, tenant_id=tenant_id, position=position, name=name)
        for position, name in enumerate(result.classes)
    )
    return model


def _views(session: Session, models: Sequence[Any]) -> list[ModelView]:
    ids = [model.id for model in models]
    classes, metrics = classes_of(session, ids), metrics_of(session, ids)
    aliases, labelled = repository.aliases_of(session, ids), labels.of_owners(session, ids)
    files = artifacts.of_owners(session, ids)
    sources = datasets.by_ids(session, {model.dataset_id for model in models if model.dataset_id})
    known = {model.id: sources[model.dataset_id] for model in models if model.dataset_id}
    return [
        ModelView(
            **{name: getattr(model, name) for name in _COLUMNS},
            dataset=known[model.id].name if model.id in known else None,
            dataset_digest=known[model.id].digest if model.id in known else None,
            aliases=aliases.get(model.id, []),
            tags=labelled[model.id].tags,
            metadata=labelled[model.id].metadata,
            classes=classes.get(model.id, []),
            metrics=metrics.get(model.id, []),
            artifacts=files.get(model.id, []),
        )
        for model in models
    ]


_COLUMNS = (
    "id", "job_id", "origin", "architecture", "approach", "recipe", "initial_model_id", "dataset_id",
    "input_shape", "units", "parameters", "flops", "seed", "versions", "name", "version", "created_at",
)  # fmt: skip
