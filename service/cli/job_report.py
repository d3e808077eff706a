"""A job for a person: what it made, with the figures that matter, not only ids."""

from typing import TYPE_CHECKING, Any

from service.cli import output

if TYPE_CHECKING:
    from service.client import CleaveClient
    from service.client.schemas import Attempt, Composition, Job, JobResult, Model, Module

# Headings as short as the figures: an id is 36 characters, and a terminal may have 80.
_MODULE_COLUMNS = ("module", "class", "parameters", "F1 val", "F1 test")
_SETS_COLUMNS = ("module", "classes", "parameters", "acc. val", "acc. test")


def show_job(client: "CleaveClient", job: "Job") -> None:
    """One job: its state, and for one that succeeded what it left in the registry."""
    pairs: list[tuple[str, output.Cell]] = [
        ("kind", job.kind),
        ("state", state_of(job)),
        ("progress", f"{job.progress.phase or '-'} {job.progress.percent or 0:.0f} %"),
        ("attempt", job.attempt),
        ("created", output.moment(job.created_at)),
        ("finished", output.moment(job.finished_at)),
    ]
    if job.state in ("pending", "queued"):
        pairs.insert(2, ("waits for", _awaited(client, job)))
    result = job.result
    modules: list[Module] = []
    if result is not None:
        made, modules = _made(client, job, result)
        pairs += made
        pairs += [(_label(metric), output.figure(metric.name, metric.value)) for metric in result.metrics]
    if job.error is not None:
        pairs.append((f"error {job.error.code}", job.error.message))
    output.details(job.id, pairs)
    _show_modules(modules)
    show_points((result.model_extra or {}).get("points", []) if result is not None else [])


def _awaited(client: "CleaveClient", job: "Job") -> str:
    """What a job that nobody is at waits for, as far as a caller can see it."""
    if job.paused:
        return f"`cleave jobs resume {job.id}`"
    queue = "train" if job.kind == "train" and job.state == "queued" else "short"
    gpu = queue == "train" and job.spec.get("device") == "cuda"
    found = [c for c in client.workers() if c.queue == queue and not (gpu and c.device == "cpu")]
    what = f"a worker of queue {queue}{' that may have a GPU' if gpu else ''}"
    if not found:
        return f"{what}: none is alive"
    idle, busy = (sum(getattr(count, state) for count in found) for state in ("idle", "busy"))
    if idle:
        return f"the dispatcher ({what} is idle): a limit of the tenant, or the pause after a failed attempt"
    return f"{what}: {busy} busy, none idle"


def show_attempts(job_id: str, attempts: list["Attempt"]) -> None:
    """Each attempt, with all that is known of its end; a message may be the stacks of a process."""
    if not attempts:
        output.say(f"{job_id} has not been begun")
    for attempt in attempts:
        cause = f", cause {attempt.cause}" if attempt.cause else ""
        pairs: list[tuple[str, output.Cell]] = [
            ("worker", attempt.worker_id),
            ("ended", f"{attempt.outcome}{cause}" if attempt.outcome else "no: it runs"),
            ("exit code", attempt.exit_code),
            ("message", attempt.message),
            ("began at", attempt.resumed_from),
            ("from", output.moment(attempt.started_at)),
            ("to", output.moment(attempt.finished_at)),
        ]
        output.details(
            f"attempt {attempt.attempt}", [(name, value) for name, value in pairs if value is not None]
        )


def state_of(job: "Job") -> str:
    """The job's state, and whether it is held back there."""
    return f"{job.state}, paused" if job.paused else job.state


def _made(
    client: "CleaveClient", job: "Job", result: "JobResult"
) -> tuple[list[tuple[str, output.Cell]], list["Module"]]:
    """What the job's kind makes, as names and values; and the modules of an extraction."""
    if result.composition_id is not None:
        return _composition(client.compositions.get(result.composition_id)), []
    if result.model_id is None:
        return _measured(result.model_extra or {}), []
    if result.module_ids:
        form = [("model", result.model_id), ("form", job.spec.get("form"))]
        return form, _modules(client, result.model_id, result.module_ids)
    model = client.models.get(result.model_id)
    return _model(model) if job.kind == "train" else [("model", model.id)], []


def _measured(told: dict[str, Any]) -> list[tuple[str, output.Cell]]:
    """Of an evaluation: what was measured, on which data, and what of these was not counted."""
    left_out = told.get("images_left_out") or {}
    pairs: list[tuple[str, output.Cell]] = [("measured", told.get("target_id")), ("on", told.get("dataset"))]
    pairs.append(("images of unknown classes", sum(left_out.values()) or None))
    pairs.append(("classes without images", ", ".join(told.get("classes_without_images") or []) or None))
    return [(name, value) for name, value in pairs if value is not None]


def _model(model: "Model") -> list[tuple[str, output.Cell]]:
    return [
        ("model", model.id),
        ("architecture", model.architecture),
        ("approach", model.approach),
        ("parameters", model.parameters),
        ("accuracy (validation)", output.percent(model.metric("accuracy", "validation"))),
        ("accuracy (test)", output.percent(model.metric("accuracy", "test"))),
    ]


def _composition(composition: "Composition") -> list[tuple[str, output.Cell]]:
    return [
        ("composition", composition.id),
        ("model", composition.model_id),
        ("classes", ", ".join(composition.classes)),
        ("form", composition.form),
        ("parameters", composition.parameters),
        ("accuracy (validation)", output.percent(composition.metric("accuracy", "validation"))),
        ("accuracy (test)", output.percent(composition.metric("accuracy", "test"))),
    ]


def _modules(client: "CleaveClient", model_id: str, module_ids: list[str]) -> list["Module"]:
    """The modules in the order asked for, read by the page: an extraction can make a thousand."""
    wanted, after = set(module_ids), None
    found: dict[str, Module] = {}
    while wanted - found.keys():
        page = client.models.modules(model_id, limit=200, after=after)
        found |= {module.id: module for module in page.data if module.id in wanted}
        after = page.next_cursor
        if after is None:
            break
    return [found[module_id] for module_id in module_ids if module_id in found]


def _show_modules(modules: list["Module"]) -> None:
    groups = (
        (_MODULE_COLUMNS, [m for m in modules if len(m.classes) == 1]),
        (_SETS_COLUMNS, [m for m in modules if len(m.classes) > 1]),
    )
    for columns, found in groups:
        if found:
            output.table("modules", columns, [_row(module) for module in found])


def show_points(points: list[dict[str, Any]]) -> None:
    """The thresholds of a sweep, and a word where they make no difference."""
    for point in points:
        _show_point(point)
    sizes = {tuple((m["class_name"], m["parameters"], m["flops"]) for m in p["modules"]) for p in points}
    if len(points) > 1 and len(sizes) == 1:
        # What recipe cleave always gives, as it keeps the masks it trained: without this it looks broken.
        output.say("The sizes are the same at each threshold; models of recipe cleave have no others.")


def _show_point(point: dict[str, Any]) -> None:
    """One threshold of a sweep."""
    columns = ("class", "neurons kept", "parameters", "of standard", "FLOPs of standard", "F1 val")
    rows = [
        (
            m["class_name"], output.percent(m["retention_rate"]), m["parameters"],
            output.percent(m["parameter_rate"]), output.percent(m["flops_rate"]), m["f1_validation"],
        )
        for m in point["modules"]
    ]  # fmt: skip
    alike = "" if point["coupling"] is None else f", modules overlap {output.percent(point['coupling'])}"
    output.table(f"threshold {point['threshold']:g}{alike}", columns, rows)


def _row(module: "Module") -> tuple[output.Cell, ...]:
    """Class names rather than a count: the id alone says nothing."""
    scores = (module.score("validation"), module.score("test"))
    return module.id, ", ".join(module.classes), module.parameters, *scores


def _label(metric: Any) -> str:
    return " ".join(part for part in (metric.name, metric.split, metric.class_name) if part)
