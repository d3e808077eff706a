"""Models: finding and describing them; and the figures measured of models, modules and compositions."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Select
from sqlalchemy.orm import Session

from core.results import MetricValue, TrainResult
from service.artifacts import service as artifacts
from service.datasets import service as datasets
from service.models import names, repository
from service.models.schemas import MetricView, ModelClassView, ModelPatch, ModelSearch, ModelView
from service.models.tables import Metric, Model, ModelClass
from service.platform.errors import NotFoundError
from service.platform.ids import new_id
from service.platform.pagination import ListOf, PageRequest
from service.registry import labels
from service.registry.etags import require_match
from service.registry.search import Origin


def get(session: Session, model_id: str) -> Model:
    """The model of an id or of `name@alias`, or NotFoundError."""
    model = names.find(session, model_id)
    if model is None:
        raise NotFoundError("There is no model with this id.")
    return model


def classes_of(session: Session, model_ids: Sequence[str]) -> dict[str, list[str]]:
    """Model id -> class names in the order of the outputs."""
    return repository.classes_of(session, model_ids)


def describe(session: Session, model_id: str) -> ModelView:
    """One model with its classes, figures and files."""
    return _views(session, [get(session, model_id)])[0]


def change(session: Session, model_id: str, patch: ModelPatch, if_match: str | None) -> ModelView:
    """Change name and labels of the model that the caller has seen. Raises PreconditionFailedError."""
    model = _seen(session, model_id, if_match)
    if "name" in patch.model_fields_set:
        names.rename(session, model, patch.name)
    labels.change(session, model.tenant_id, model.id, patch)
    return _views(session, [model])[0]


def point(session: Session, model_id: str, alias: str, if_match: str | None) -> ModelView:
    """Let an alias of the model's name stand for this version; it stood for another, or for none."""
    model = _seen(session, model_id, if_match)
    names.point(session, model, alias)
    return _views(session, [model])[0]


def release(session: Session, model_id: str, alias: str, if_match: str | None) -> None:
    """Take an alias off the model."""
    names.release(session, _seen(session, model_id, if_match), alias)


def _seen(session: Session, model_id: str, if_match: str | None) -> Model:
    """The model, locked, if it still is as the caller has seen it."""
    model = repository.find_locked(session, get(session, model_id).id)
    if model is None:
        raise NotFoundError("There is no model with this id.")
    require_match(if_match, _views(session, [model])[0])
    return model


def list_models(session: Session, wanted: ModelSearch, page: PageRequest) -> ListOf[ModelView]:
    """The models that fit, sorted."""
    found = repository.page(session, wanted, page)
    return ListOf[ModelView].of(_views(session, found.rows), found.next_cursor)


def ids_like(origin: Origin) -> Select[str] | None:
    """The ids of the models of such an origin, to search their modules by; None = of any."""
    return repository.ids_like(origin)


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
    """The newest figure of each name, split, class and epoch, for each owner that has any."""
    newest: dict[str, dict[tuple[str | None, ...], MetricView]] = {}
    for row in repository.metrics_of(session, owner_ids):
        key = (row.name, row.split, row.class_name, str(row.epoch))
        view = MetricView(
            name=row.name, value=row.value, split=row.split, class_name=row.class_name, epoch=row.epoch
        )
        newest.setdefault(row.owner_id or "", {})[key] = view
    return {owner: list(views.values()) for owner, views in newest.items()}


def record_metrics(
    session: Session,
    *,
    tenant_id: str,
    job_id: str,
    owner_id: str | None,
    metrics: Iterable[MetricValue],
) -> None:
    """Keep measured figures; without an owner they belong to the job alone."""
    session.add_all(
        Metric(tenant_id=tenant_id, job_id=job_id, owner_id=owner_id, **metric.model_dump())
        for metric in metrics
    )


def remove(session: Session, model_id: str) -> None:
    """Take the model and its classes out. Raises IntegrityError while something refers to it."""
    repository.remove(session, model_id)


def remove_metrics(session: Session, owner_id: str) -> None:
    """Forget what was measured of a model, module or composition."""
    repository.remove_metrics(session, owner_id)


def record(session: Session, *, tenant_id: str, job_id: str, dataset_id: str, result: TrainResult) -> str:
    """Keep a trained model and its classes. Returns its id."""
    model = Model(
        id=new_id("mdl"),
        tenant_id=tenant_id,
        job_id=job_id,
        dataset_id=dataset_id,
        **result.model_dump(
            include={
                "architecture", "approach", "recipe", "input_shape", "units", "parameters", "flops", "seed",
                "versions",
            }
        ),
    )  # fmt: skip
    session.add(model)
    session.flush()
    session.add_all(
        ModelClass(model_id=model.id, tenant_id=tenant_id, position=position, name=name)
        for position, name in enumerate(result.classes)
    )
    return model.id


def _views(session: Session, models: Sequence[Model]) -> list[ModelView]:
    ids = [model.id for model in models]
    classes, metrics = classes_of(session, ids), metrics_of(session, ids)
    aliases, labelled = repository.aliases_of(session, ids), labels.of_owners(session, ids)
    files = artifacts.of_owners(session, ids)
    sources = datasets.by_ids(session, {model.dataset_id for model in models})
    return [
        ModelView(
            **{name: getattr(model, name) for name in _COLUMNS},
            dataset=sources[model.dataset_id].name,
            dataset_digest=sources[model.dataset_id].digest,
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
    "id", "job_id", "architecture", "approach", "recipe", "dataset_id", "input_shape", "units", "parameters",
    "flops", "seed", "versions", "name", "version", "created_at",
)  # fmt: skip
