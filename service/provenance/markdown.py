"""A card as Markdown. What callers have named is text and nothing else: no markup, no HTML, no links."""

import re
import unicodedata
from collections.abc import Sequence

from service.models.schemas import MetricView
from service.provenance.schemas import CardView, LineageView, Value

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Marks that no renderer takes for anything where they stand: of sentences, within a word or number.
_HARMLESS = r"""["'%,/;?]|(?<=[A-Za-z0-9])[_-](?=[A-Za-z0-9])|(?<=[0-9])\.(?=[0-9])|(?<=[a-z])\.$"""
_PUNCTUATION = re.compile(rf"(?!{_HARMLESS})[!-/:-@\[-`{{-~]")


def markdown(card: CardView) -> str:
    """The whole card."""
    parts = [
        f"# {plain(card.title)}",
        plain(card.summary),
        f"`{card.id}`",
        _table(("property", "value"), [(name, _told(value)) for name, value in card.properties.items()]),
        _section("Classes", ", ".join(plain(name) for name in card.classes)),
        _section("Figures", _figures(card)),
        _section("Intended use", _list(card.intended_use)),
        _section("Limits", _list(card.limits)),
        _section("How it was made", _origins(card.lineage)),
        _section("How to use it", f"```python\n{card.usage}```"),
    ]
    labels = [*card.tags, *(f"{key}: {value}" for key, value in card.metadata.items())]
    if labels:
        parts.append(_section("Labels", _list(labels)))
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text that no renderer takes for anything else: one line, every mark that could be markup escaped."""
    one_line = " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())
    return _PUNCTUATION.sub(lambda mark: _ENTITIES.get(mark[0], f"\\{mark[0]}"), one_line)


def _section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(plain(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figures(card: CardView) -> str:
    if not card.metrics:
        return "None."
    rows = [(m.name, _data(m), m.class_name or "all", f"{m.value:.4g}") for m in card.metrics]
    return _table(("figure", "data", "class", "value"), rows)


def _data(metric: MetricView) -> str:
    return f"{metric.dataset}, {metric.split}" if metric.dataset else metric.split or ""


def _told(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def _origins(lineage: LineageView) -> str:
    model = lineage.model
    lines = [
        f"dataset: {model.dataset} (sha256 {model.dataset_digest})",
        f"model: {model.id}, by job {model.made_by.job_id}, attempt {model.made_by.attempt}, "
        f"seed {model.made_by.seed}, spec sha256 {model.made_by.spec_sha256}",
        f"code: {', '.join(f'{name} {version}' for name, version in model.made_by.versions.items())}",
    ]
    if model.initial_model_id is not None:
        lines.append(f"its training began with the weights of {model.initial_model_id}")
    made_by = lineage.made_by
    if made_by is not None and lineage.kind != "model":
        lines.append(
            f"cut by job {made_by.job_id}, attempt {made_by.attempt}, spec sha256 {made_by.spec_sha256}"
        )
    lines += [f"made of {module_id}" for module_id in lineage.made_of]
    lines += [
        f"used by {users.total} {kind if users.total > 1 else kind[:-1]}"
        for kind in ("modules", "compositions", "models")
        if (users := getattr(lineage, kind)).total
    ]
    return _list(lines)
