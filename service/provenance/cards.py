"""Cards: what one should know of a model, module or composition before using it, from what is on record."""

import json
from collections.abc import Sequence

from sqlalchemy.orm import Session

from service.artifacts.schemas import ArtifactView
from service.compositions import service as compositions
from service.compositions.schemas import CompositionView
from service.models import service as models
from service.models.schemas import MetricView, ModelView
from service.modules import service as modules
from service.modules.schemas import ModuleView
from service.provenance import lineage
from service.provenance.schemas import CardView, LineageView, Origin

_SIZES = ("parameters", "parameter_rate", "flops", "flops_rate", "retention_rate")


def of_model(session: Session, model_id: str) -> CardView:
    """Raises NotFoundError."""
    view, of = models.describe(session, model_id), lineage.of_model(session, model_id)
    name = f"{view.name} version {view.version}: " if view.name else ""
    return CardView(
        id=view.id,
        kind="model",
        title=f"{name}{view.architecture} for {_told(view.dataset)}",
        summary=_summary(view),
        properties={
            **{n: getattr(view, n) for n in ("architecture", "approach", "recipe", "input_shape", "seed")},
            **{n: getattr(view, n) for n in ("parameters", "flops")},
        },
        classes=view.classes,
        metrics=view.metrics,
        lineage=of,
        intended_use=[
            f"Telling apart the {len(view.classes)} classes of {_told(view.dataset)}.",
            "Cutting out modules, and composing them into smaller classifiers.",
        ],
        limits=_limits(view.classes, of, view.metrics),
        usage=_program(view.artifacts, view.classes, None) or _stored(view.id),
        tags=view.tags,
        metadata=view.metadata,
    )


def of_module(session: Session, module_id: str) -> CardView:
    """Raises NotFoundError."""
    view = modules.describe(session, module_id)
    made_of = f"A module, cut at threshold {view.threshold:g}"
    return _of_network(view, lineage.of_module(session, module_id), made_of)


def of_composition(session: Session, composition_id: str) -> CardView:
    """Raises NotFoundError."""
    view = compositions.describe(session, composition_id)
    made_of = f"The union of {len(view.module_ids)} modules"
    return _of_network(view, lineage.of_composition(session, composition_id), made_of)


def _of_network(view: ModuleView | CompositionView, of: LineageView, made_of: str) -> CardView:
    folded = " with folded amplitudes" if view.fold_amplitudes else ""
    return CardView(
        id=view.id,
        kind=of.kind,
        title=f"{of.model.architecture} for {', '.join(view.classes)}",
        summary=f"{made_of}, out of a {of.model.architecture} that was {_made(of.model)}; "
        f"form {view.form}{folded}.",
        properties={"form": view.form, **{name: getattr(view, name) for name in _SIZES}},
        classes=view.classes,
        metrics=view.metrics,
        lineage=of,
        intended_use=[_purpose(view.classes, of)],
        limits=[*_limits(view.classes, of, view.metrics), *view.notes],
        usage=_program(view.artifacts, view.classes, _threshold(view.metrics)) or _stored(view.id),
        tags=view.tags,
        metadata=view.metadata,
    )


def _summary(view: ModelView) -> str:
    if view.origin == "imported":
        return f"A {view.architecture} that was trained elsewhere; its weights were uploaded."
    return (
        f"A {view.architecture} trained on {view.dataset} by {view.approach}, recipe {view.recipe}, "
        "whose neurons organise themselves by class, so that it can be cut into modules."
    )


def _made(model: Origin) -> str:
    if model.origin == "imported":
        return "trained elsewhere and imported"
    return f"trained on {model.dataset} by {model.approach}, recipe {model.recipe}"


def _told(dataset: str | None) -> str:
    return dataset or "a dataset that is not on record"


def _purpose(classes: Sequence[str], of: LineageView) -> str:
    if len(classes) == 1:
        return f"Telling images of {classes[0]} from the other classes of {_told(of.model.dataset)}."
    names = ", ".join(classes)
    return f"Telling apart {names} of {_told(of.model.dataset)}; or as a part of a larger composition."


def _limits(classes: Sequence[str], of: LineageView, metrics: Sequence[MetricView]) -> list[str]:
    like = ", ".join(sorted({metric.dataset or _told(of.model.dataset) for metric in metrics}))
    found = (
        [f"Its figures are of images like those of {like}; on others it was not measured."] if like else []
    )
    if len(classes) == 1:
        found.append("Its one output is a score to compare with a threshold, not a probability.")
    else:
        found.append("It answers with one of its classes whatever it is shown, also for images of none.")
    if not any(metric.split == "test" for metric in metrics):
        found.append("It was not measured on test data.")
    if not any(metric.split == "validation" for metric in metrics):
        found.append("It was not measured on validation data, by which one chooses.")
    return found


def _threshold(metrics: Sequence[MetricView]) -> float | None:
    return next((metric.value for metric in metrics if metric.name == "decision_threshold"), None)


def _program(files: Sequence[ArtifactView], classes: Sequence[str], threshold: float | None) -> str | None:
    program = next((file for file in files if file.role == "program"), None)
    if program is None:
        return None
    # As JSON: names come from callers, and these are one literal each, whatever is in them.
    return (
        "import torch\n\n"
        f"# GET {program.url}, sha256 {program.sha256}\n"
        f"module = torch.export.load({json.dumps(program.filename)}).module()\n"
        f"classes = {json.dumps(list(classes))}\n"
        "logits = module(images)  # float32 (N, C, H, W) in [0, 1] -> (N, len(classes))\n"
        + (
            ""
            if threshold is None
            else f"found = logits[:, 0] > {threshold:.6g}  # best f1 on validation data\n"
        )
    )


def _stored(owner_id: str) -> str:
    return (
        f"# cleave download {owner_id} network\n"
        "from pathlib import Path\n\n"
        "from core.artifacts import load\n\n"
        "# Takes images normalised by the mean and std of stored.recipe.\n"
        'stored = load(Path("network"))\n'
        "logits = stored.network(images)\n"
    )
