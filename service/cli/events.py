"""One event of a job as a line for a person: what it says, without the names of JSON."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.texts import shown_in_a_line
from service.cli import output

if TYPE_CHECKING:
    from service.client.schemas import Event

Data = dict[str, Any]


def event_line(event: "Event") -> str:
    """Its number, time, kind and content. `--json` has all of it."""
    tell = _TOLD.get(event.type, _pairs)
    kind = event.type.removeprefix("job.")
    told = shown_in_a_line(tell(event.data))
    return f"{event.seq:>5}  {output.moment(event.ts)}  {kind:<10}  {told}".rstrip()


def _pairs(data: Data) -> str:
    """Names and values; what is empty or has parts of its own is left out."""
    plain = {name: value for name, value in data.items() if isinstance(value, str | int | float)}
    return ", ".join(f"{name.replace('_', ' ')} {output.cell(value)}" for name, value in plain.items())


def _state(data: Data) -> str:
    rest = _pairs({name: value for name, value in data.items() if name not in ("state", "paused")})
    return ", ".join(filter(None, (data["state"], "paused" if data.get("paused") else "", rest)))


def _progress(data: Data) -> str:
    parts = [data.get("phase") or "starting"]
    if data.get("epoch") is not None and data.get("epochs") is not None:
        parts.append(f"epoch {data['epoch']}/{data['epochs']}")
    if data.get("percent") is not None:
        parts.append(f"{data['percent']:.0f} %")
    return ", ".join(parts)


def _metric(data: Data) -> str:
    """The figures of the whole; of those by class only how many there are."""
    whole = [m for m in data["metrics"] if m.get("class_name") is None]
    told = [_figure(m) for m in whole]
    by_class = len(data["metrics"]) - len(whole)
    return ", ".join([*told, *([f"{by_class} by class"] if by_class else [])])


def _figure(metric: Data) -> str:
    value = output.cell(output.figure(metric["name"], metric["value"]))
    return " ".join(filter(None, (metric["name"], metric.get("split"), value)))


def _checkpoint(data: Data) -> str:
    """Where it is; which figures it has says the event of these."""
    return _pairs({name: data.get(name) for name in ("epoch", "step", "path")})


def _log(data: Data) -> str:
    return f"{data['level']}: {data['message']}"


def _done(data: Data) -> str:
    """How it ended, and with what: ids, or the error."""
    error, result = data.get("error") or {}, data.get("result") or {}
    parts = [data["state"]]
    if error:
        parts.append(f"{error.get('code')}: {error.get('message')}")
    parts += [f"{name.removesuffix('_id')} {result[name]}" for name in _MADE if result.get(name)]
    if result.get("module_ids"):
        parts.append(f"{len(result['module_ids'])} modules")
    return ", ".join(parts)


_MADE = ("model_id", "composition_id", "dataset_id", "target_id")
_TOLD: dict[str, Callable[[Data], str]] = {
    "job.state": _state,
    "job.progress": _progress,
    "job.metric": _metric,
    "job.checkpoint": _checkpoint,
    "job.log": _log,
    "job.done": _done,
}
