"""The demo's pictures: training curves, class x neuron maps, module overlap."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from safetensors.numpy import load_file

from service.client.schemas import Metric
from service.demo.outcome import ApproachOutcome

_BLUE, _ORANGE, _GREEN = "#3b6fb6", "#d9822b", "#4c9f70"
_STYLE: Any = {  # matplotlib types its keys as one long Literal
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.grid": False,
    "figure.dpi": 130,
    "legend.frameon": False,
}
_CURVES = (
    ("Task loss", ("loss_task",)),
    ("Modularity losses", ("loss_contrastive", "loss_cohesion", "loss_coupling", "loss_modularity")),
    ("Accuracy", ("accuracy",)),
    ("Share of neurons that fire", ("mask_density",)),
)


def draw_all(outcomes: Sequence[ApproachOutcome], folder: Path) -> list[Path]:
    """Every picture of every approach; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with mpl.rc_context(_STYLE):
        for outcome in outcomes:
            name = outcome.approach
            made.append(_save(training_curves(outcome.curves, name), folder / f"{name}_training_curves.png"))
            if outcome.statistics_file is not None:
                figure = neuron_map(outcome.statistics_file, outcome.model.classes, name)
                made.append(_save(figure, folder / f"{name}_class_neuron_map.png"))
            if outcome.recipe_files:
                figure = overlap_matrix(outcome.recipe_files, name)
                made.append(_save(figure, folder / f"{name}_module_overlap.png"))
    return made


def training_curves(curves: Sequence[Metric], approach: str) -> Figure:
    """The losses, the accuracy and how many neurons fire, over the epochs."""
    groups = [
        (title, found)
        for title, names in _CURVES
        if (found := [c for c in curves if c.name in names and c.class_name is None])
    ]
    figure = Figure(figsize=(3.6 * max(1, len(groups)), 3.2), layout="constrained")
    figure.suptitle(f"{approach}: training")
    for index, (title, metrics) in enumerate(groups):
        axes = figure.add_subplot(1, len(groups), index + 1)
        _draw_curves(axes, metrics)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
        if "loss" not in title.lower():
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    return figure


def _draw_curves(axes: Axes, metrics: Sequence[Metric]) -> None:
    series = sorted({(m.name, m.split or "") for m in metrics})
    for color, (name, split) in zip((_BLUE, _ORANGE, _GREEN, "0.4", "0.6", "0.8"), series, strict=False):
        points = [(m.epoch or 0, m.value) for m in metrics if (m.name, m.split or "") == (name, split)]
        epochs, values = zip(*sorted(points), strict=True)
        label = f"{name.removeprefix('loss_')} ({split})" if split else name
        axes.plot(epochs, values, color=color, marker="o", markersize=2.5, label=label)


def neuron_map(statistics: Path, class_names: Sequence[str], approach: str) -> Figure:
    """How often each neuron fires for each class: a panel per unit, neurons sorted by favourite class."""
    tensors = load_file(statistics)
    count = np.maximum(tensors["count"], 1.0)[:, None]
    # "firing/<position>/<unit>": sorted names are in the order of execution.
    firing = sorted(name for name in tensors if name.startswith("firing/"))
    rates = {name.rpartition("/")[2]: tensors[name] / count for name in firing}
    columns = min(3, len(rates))
    rows = -(-len(rates) // columns)
    figure = Figure(figsize=(4.2 * columns + 0.8, 2.9 * rows + 0.6), layout="constrained")
    figure.suptitle(f"{approach}: how often each neuron fires, by class")
    axes_list, image = [], None
    for index, (unit, rate) in enumerate(rates.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        # A stable two-key order: neurons of one class stand together, the most faithful first.
        order = np.lexsort((-rate.max(axis=0), rate.argmax(axis=0)))
        image = axes.imshow(
            rate[:, order], aspect="auto", cmap="magma", vmin=0, vmax=1, interpolation="nearest"
        )
        axes.set(title=unit, xlabel=f"neuron (of {rate.shape[1]}, sorted by class)", ylabel="class")
        axes.set_yticks(range(len(class_names)), class_names)
        axes_list.append(axes)
    if image is not None:
        figure.colorbar(image, ax=axes_list, label="share of the class's images that fire it", shrink=0.85)
    return figure


def overlap_matrix(recipes: Sequence[Path], approach: str) -> Figure:
    """Jaccard index of the masks of each pair of modules."""
    masks = [read_mask(recipe) for recipe in recipes]
    names = [", ".join(json.loads(r.read_text(encoding="utf-8"))["classes"]) for r in recipes]
    overlap = np.array([[jaccard(a, b) for b in masks] for a in masks])
    figure = Figure(figsize=(1.6 + 0.55 * len(masks), 1.2 + 0.52 * len(masks)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(overlap, cmap="Blues", vmin=0, vmax=1)
    axes.set(
        title=f"{approach}: neurons shared by modules (Jaccard)",
        xlabel="module of class",
        ylabel="module of class",
    )
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(overlap):
        color = "white" if value > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(image, ax=axes, label="kept by both / kept by either", shrink=0.85)
    return figure


def read_mask(recipe: Path) -> NDArray[np.bool_]:
    """All neurons of all units in order, True where the module keeps them."""
    units = json.loads(recipe.read_text(encoding="utf-8"))["module"]["mask"]["units"]
    parts = [
        np.unpackbits(np.frombuffer(base64.b64decode(unit["bits"]), dtype=np.uint8), count=unit["width"])
        for unit in units
    ]
    return np.concatenate(parts).astype(bool)


def jaccard(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Kept by both / kept by either; 1 for two empty masks."""
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 1.0


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
