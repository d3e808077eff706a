"""The page and the pictures of `benchmarks.reproduce`: docs/results*.md, PNG files beside the figures."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
SIZES = ("2", "5", "10")
# Accuracy of the modular model, and reuse at 2 / 5 / 10 classes without and with retraining, as published
# (MwT and MODA: tables and figures of MODA, ICSE 2026; NeMo publishes no figures per network).
PUBLISHED = {
    ("standard", "vgg16", "cifar10"): "92.6",
    ("standard", "resnet18", "cifar10"): "93.4",
    ("standard", "mobilenet", "cifar10"): "89.4",
    ("standard", "vgg16", "svhn"): "95.9",
    ("standard", "resnet18", "svhn"): "96.1",
    ("MwT", "vgg16", "cifar10"): "90.6; 75 / 49 / 33, retrained 97 / 95 / 91",
    ("MwT", "resnet18", "cifar10"): "91.0; 72 / 24 / 13, retrained 97 / 95 / 91",
    ("MwT", "mobilenet", "cifar10"): "53.6; 63 / 36 / 26, retrained 90 / 72 / 56",
    ("MwT", "vgg16", "svhn"): "95.1; 90 / 77 / 65, retrained 98 / 96 / 95",
    ("MwT", "resnet18", "svhn"): "95.7; 86 / 62 / 37, retrained 97 / 96 / 95",
    ("MODA", "vgg16", "cifar10"): "91.9; 98 / 95 / 92",
    ("MODA", "resnet18", "cifar10"): "90.9; 98 / 95 / 91",
    ("MODA", "mobilenet", "cifar10"): "89.3; 96 / 92 / 89",
    ("MODA", "vgg16", "svhn"): "95.8; 97 / 96 / 95",
    ("MODA", "resnet18", "svhn"): "95.8; 98 / 96 / 94",
}
_HEAD = """\
# Results

Written by `python -m benchmarks.reproduce --scale {scale}` ({command_note}); raw figures:
`benchmarks/results/{stem}.json`. Machine: {processor}, {threads} thread(s) a run, torch {torch}.{unfinished}
{length} epochs{samples}, batches of {batch_size}, seeds 0 to {last_seed}; every approach is cut into the same
random subsets of 2 to 10 classes. Accuracies are per cent on test data{tested}, by which nothing was chosen;
no composition was retrained{retrained}.
± is the deviation between seeds; the worst loss is that of any single composition against its full model.
Sizes are shares of the standard network's parameters. MwT, NeMo and MODA are the published recipes; cleave is
the default recipe, with its default retention and with the one named. It trains at a rate of 0.2 after
a warm-up, with a weight decay of 0.0005, the others as published (docs/method.md).
"""
_RETRAINED = (
    ", but for the last column ({epochs} epoch(s) of fine-tuning, first seed, one subset of each size)"
)
_COLUMNS = (
    "approach", "form", "seeds", "full model", "one class: size", "retention", "coupling",
    "2 classes (size)", "5 classes (size)", "10 classes (size)", "mean of 2..10", "worst loss",
    "static, retrained 2/5/10",
)  # fmt: skip
_COLOURS = {
    "standard": "0.5",
    "MwT": "#cc7a00",
    "NeMo": "#2a7f4f",
    "MODA": "#7a4fa3",
    "cleave": "#1f5fbf",
    "cleave-0.6": "#6fa8ff",
    "cleave-0.15": "#0b2f6b",
    "cleave-0.09": "#b3124a",
}
_MARKERS = {"static": "o", "static + amplitudes": "s", "gated, 0.9": "v", "gated": "^"}


def write_report(content: Mapping[str, Any], stem: Path) -> list[Path]:
    """Write the page and one picture per (architecture, dataset); returns the files."""
    pairs: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    several = len(_lengths(content)) > 1
    for row in content["rows"]:
        label = f"{row['approach']}, {_epochs(row, content)} epochs" if several else row["approach"]
        pairs[row["architecture"], row["dataset"]].append({**row, "label": label})
    pictures = [_picture(rows, stem.with_name(f"{stem.name}-{a}-{d}.png")) for (a, d), rows in pairs.items()]
    sections = [
        f"## {architecture} on {dataset}\n\n{_table(rows)}\n\n![]({_from_page(picture)})\n"
        for ((architecture, dataset), rows), picture in zip(pairs.items(), pictures, strict=True)
    ]
    page = DOCS / ("results.md" if content["scale"] == "small" else f"results-{content['scale']}.md")
    page.write_text("\n".join([_head(content, stem.name), *sections]))
    return [page, *pictures]


def _head(content: Mapping[str, Any], stem: str) -> str:
    settings, machine = content["settings"], content["machine"]
    samples, epochs = settings["train_samples"], settings["retrain_epochs"]
    return _HEAD.format(
        scale=content["scale"],
        command_note="resumable: call it again with the same --work",
        stem=stem,
        length=" or ".join(map(str, _lengths(content))),
        batch_size=settings["batch_size"],
        samples="" if samples is None else f" on the first {samples:,} training images",
        tested=""
        if settings["test_samples"] is None
        else f" (the first {settings['test_samples']:,} images)",
        last_seed=settings["seeds"] - 1,
        retrained="" if not epochs else _RETRAINED.format(epochs=epochs),
        unfinished=_exceptions(content),
        processor=", ".join(machine[key] for key in ("gpu", "processor") if key in machine),
        **{key: machine[key] for key in ("threads", "torch")},
    )


def _epochs(row: Mapping[str, Any], content: Mapping[str, Any]) -> int:
    """Rows of earlier versions do not tell: they are of the scale's length."""
    return int(row.get("epochs", content["settings"]["epochs"]))


def _lengths(content: Mapping[str, Any]) -> list[int]:
    """How long the trainings took, in epochs."""
    return sorted({_epochs(row, content) for row in content["rows"]})


def _exceptions(content: Mapping[str, Any]) -> str:
    """What is not of this very run: nothing, in the best case."""
    lines = [f"Not all runs are finished: {content['missing']}."] if content["missing"] else []
    days: dict[str, list[str]] = defaultdict(list)
    for row in content["rows"]:
        if "measured" in row:
            days[row["measured"]].append(f"{row['approach']} {row['dataset']} {row['seed']}")
    lines += [f"Taken over from the run of {day}: {', '.join(names)}." for day, names in days.items()]
    return "".join(f"\n{line}" for line in lines)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    published = {
        row["label"]: text
        for row in rows
        if (text := PUBLISHED.get((row["approach"], row["architecture"], row["dataset"])))
    }
    columns = (*_COLUMNS, "published: full; reuse") if published else _COLUMNS
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for approach, of_approach in _grouped(rows).items():
        for form in _forms(of_approach):
            having = [row for row in of_approach if form in row["one class"]]
            cells = [approach, form, *_cells(having, form)]
            cells += [published.get(approach, "")] if published else []
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cells(rows: Sequence[Mapping[str, Any]], form: str) -> list[str]:
    def at(size: str) -> str:
        accuracy = _spread(row["reuse"][size][form]["accuracy"] for row in rows)
        return f"{accuracy} ({mean(row['reuse'][size][form]['parameters %'] for row in rows):.0f} %)"

    retrained = [row["retrained"] for row in rows if "retrained" in row]
    again = " / ".join(f"{retrained[0][size]['accuracy']:.1f}" for size in SIZES) if retrained else ""
    return [
        str(len(rows)),
        _spread(row["test accuracy"] for row in rows),
        f"{mean(row['one class'][form]['parameters %'] for row in rows):.1f} %",
        f"{mean(row['retention %'] for row in rows):.0f} %",
        f"{mean(row['coupling'] for row in rows):.2f}",
        *(at(size) for size in SIZES),
        _spread(_mean_reuse(row, form) for row in rows),
        _worst(rows, form),
        again if form == "static" else "",
    ]


def _forms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every form that any of the rows has, in order."""
    return list(dict.fromkeys(form for row in rows for form in row["one class"]))


def _mean_reuse(row: Mapping[str, Any], form: str) -> float:
    return float(mean(found[form]["accuracy"] for found in row["reuse"].values()))


def _worst(rows: Sequence[Mapping[str, Any]], form: str) -> str:
    """The largest loss of one composition against its full model on the same classes, where it is known."""
    losses = [found[form].get("worst loss") for row in rows for found in row["reuse"].values()]
    known = [loss for loss in losses if loss is not None]
    return f"{max(known):.1f}" if len(known) == len(losses) else ""


def _spread(values: Iterable[float]) -> str:
    found = list(values)
    return f"{mean(found):.1f}" if len(found) < 2 else f"{mean(found):.1f} ± {stdev(found):.1f}"


def _grouped(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["label"]].append(row)
    return dict(groups)


def _picture(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Accuracy against size, one point for each composition size of 2, 5 and 10 classes."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for place, size in enumerate(SIZES, 1):
        axes = figure.add_subplot(1, len(SIZES), place)
        for approach, of_approach in _grouped(rows).items():
            for form in _forms(of_approach):
                found = [row["reuse"][size][form] for row in of_approach if form in row["reuse"][size]]
                axes.scatter(
                    [f["parameters %"] for f in found],
                    [f["accuracy"] for f in found],
                    color=_COLOURS[of_approach[0]["approach"]],
                    marker=_MARKERS[form],
                    alpha=0.8,
                    label=f"{approach}, {form}",
                )
        axes.set(title=f"{size} classes", xlabel="parameters, % of the standard network")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy without retraining, %")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=110)
    return path


def _from_page(picture: Path) -> str:
    return f"../benchmarks/results/{picture.name}"
