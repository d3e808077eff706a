"""cleave jobs ...: submit, look at, follow, cancel."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.texts import shown_in_a_line
from service.cli import output
from service.cli.events import event_line
from service.cli.job_report import show_attempts, show_job, state_of
from service.cli.session import AfterOption, JsonFlag, LimitOption, WaitFlag, connect, fail
from service.cli.spec_input import SetOption, SpecOption, read_spec

if TYPE_CHECKING:
    from service.client import CleaveClient
    from service.client.schemas import Job

app = typer.Typer(help="Submit and follow jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB_ID")]


@app.command()
def train(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    architecture: Annotated[str | None, typer.Option(help="See `cleave architectures`.")] = None,
    dataset: Annotated[str | None, typer.Option(help="See `cleave datasets`.")] = None,
    approach: Annotated[str | None, typer.Option(help="nemo (the default), mwt, moda or standard.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Default: 200.")] = None,
    initial_model: Annotated[str | None, typer.Option(help="Start from this model's weights.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    spec: SpecOption = None,
    settings: SetOption = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Train a network."""
    given: dict[str, Any] = {"architecture": architecture, "dataset": dataset, "epochs": epochs, "seed": seed}
    given["initial_model_id"] = initial_model
    body = read_spec("train", spec, given, settings)
    if approach is not None:
        body["approach"] = {**body.get("approach", {}), "name": approach}
    with connect(ctx) as client:
        submit(client, body, wait, as_json)


@app.command()
def extract(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="One module for this class; default: for each class.")
    ] = None,
    together: Annotated[
        list[str] | None,
        typer.Option("--classes", metavar="A,B,...", help="One module that knows all of these."),
    ] = None,
    form: Annotated[str | None, typer.Option(help="gated or static.")] = None,
    threshold: Annotated[float | None, typer.Option()] = None,
    settings: SetOption = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Extract modules from a trained model: one per class, or those of --class and --classes."""
    sets = [[name] for name in classes or []] + [names.split(",") for names in together or []]
    given = {
        "model_id": model_id,
        "classes": sets or None,
        "form": form,
        "threshold": threshold,
    }
    with connect(ctx) as client:
        submit(client, read_spec("extract", None, given, settings), wait, as_json)


@app.command()
def evaluate(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    target_id: Annotated[str, typer.Argument(metavar="MODEL_MODULE_OR_COMPOSITION_ID")],
    dataset: Annotated[str | None, typer.Option(help="Default: the one that the model is of.")] = None,
    split: Annotated[str | None, typer.Option(help="validation or test.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--class", help="Restrict data and outputs to these classes.")
    ] = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Measure a model, module or composition."""
    given = {"target_id": target_id, "dataset": dataset, "split": split, "classes": classes or None}
    with connect(ctx) as client:
        submit(client, read_spec("evaluate", None, given, None), wait, as_json)


@app.command()
def sweep(
    ctx: typer.Context,
    model_id: Annotated[str, typer.Argument(metavar="MODEL_ID")],
    threshold: Annotated[list[float], typer.Option(help="Give it several times.")],
    form: Annotated[str | None, typer.Option(help="gated or static.")] = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """What the modules of a model would be at other thresholds: sizes and overlap, without data."""
    given = {"model_id": model_id, "thresholds": threshold, "form": form}
    with connect(ctx) as client:
        submit(client, read_spec("sweep", None, given, None), wait, as_json)


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option()] = None,
    kind: Annotated[str | None, typer.Option()] = None,
    limit: LimitOption = None,
    after: AfterOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Jobs, newest first."""
    with connect(ctx) as client:
        page = client.jobs.list(state=state, kind=kind, limit=limit, after=after)
    rows = [
        (job.id, job.kind, state_of(job), job.progress.percent, job.attempt, output.moment(job.created_at))
        for job in page.data
    ]
    columns = ("id", "kind", "state", "%", "attempt", "created")
    output.emit(page, as_json, lambda: output.table("jobs", columns, rows))


@app.command()
def show(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """One job."""
    with connect(ctx) as client:
        job = client.jobs.get(job_id)
        output.emit(job, as_json, lambda: show_job(client, job))


@app.command()
def wait(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Follow a job to its end."""
    with connect(ctx) as client:
        finish(client, client.jobs.get(job_id), as_json)


@app.command()
def cancel(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Ask a job to stop; it writes a checkpoint first."""
    with connect(ctx) as client:
        job = client.jobs.cancel(job_id)
    output.emit(job, as_json, lambda: output.say(f"{job.id} is {job.state}"))


@app.command()
def pause(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Hold a job back until `resume`; a running training writes a checkpoint first."""
    with connect(ctx) as client:
        job = client.jobs.pause(job_id)
    output.emit(job, as_json, lambda: output.say(f"{job.id} is {state_of(job)}"))


@app.command()
def resume(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Let a paused job go on from its last checkpoint."""
    with connect(ctx) as client:
        job = client.jobs.resume(job_id)
    output.emit(job, as_json, lambda: output.say(f"{job.id} is {job.state}"))


@app.command()
def retry(ctx: typer.Context, job_id: JobId, wait: WaitFlag = True, as_json: JsonFlag = False) -> None:
    """Submit an ended job's spec again, as a new job; a training goes on from its last checkpoint."""
    with connect(ctx) as client:
        follow(client, client.jobs.retry(job_id), wait, as_json)


@app.command()
def metrics(
    ctx: typer.Context,
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="Only this figure, e.g. loss.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The training curves: each figure by epoch."""
    with connect(ctx) as client:
        found = [metric for metric in client.jobs.metrics(job_id) if name in (None, metric.name)]
    rows = [(m.epoch, m.name, m.split or "-", m.class_name or "-", m.value) for m in found]
    columns = ("epoch", "name", "split", "class", "value")
    empty = f"{job_id} has reported no figures" + (f" named {name}" if name else "")
    output.emit(found, as_json, lambda: output.table(f"figures of {job_id}", columns, rows, empty))


@app.command()
def events(
    ctx: typer.Context,
    job_id: JobId,
    after: Annotated[int, typer.Option(help="Only events after this number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job has ended.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What happened to a job. With --follow and --json: one JSON document per line."""
    with connect(ctx) as client:
        if not follow:
            found = client.jobs.events(job_id, after=after)
            output.emit(found, as_json, lambda: output.say("\n".join(map(event_line, found))))
            return
        for event in client.jobs.stream(job_id, after=after):
            output.say(output.json_text(event.model_dump(mode="json")) if as_json else event_line(event))


@app.command()
def attempts(ctx: typer.Context, job_id: JobId, as_json: JsonFlag = False) -> None:
    """Each attempt at a job: which worker, how it ended and why, where it began."""
    with connect(ctx) as client:
        found = client.jobs.attempts(job_id)
    output.emit(found, as_json, lambda: show_attempts(job_id, found))


@app.command()
def logs(
    ctx: typer.Context,
    job_id: JobId,
    level: Annotated[str | None, typer.Option(help="info, or warning for these only.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """What a job wrote."""
    with connect(ctx) as client:
        found = client.jobs.logs(job_id, level=level)
    lines = [f"{output.moment(line.ts)}  {line.level:<7}  {shown_in_a_line(line.message)}" for line in found]
    output.emit(found, as_json, lambda: output.say("\n".join(lines) or f"{job_id} has written nothing"))


def submit(client: "CleaveClient", body: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Create the job, and follow it unless told not to."""
    follow(client, client.jobs.create(body), wait, as_json)


def follow(client: "CleaveClient", job: "Job", wait: bool, as_json: bool) -> None:
    """See a new job to its end, or only say that it is there."""
    if wait:
        finish(client, job, as_json)
    else:
        output.emit(job, as_json, lambda: output.say(f"{job.id} is {job.state}"))


def finish(client: "CleaveClient", job: "Job", as_json: bool) -> "Job":
    """Follow the job behind a bar and show it; exit code 1 unless it succeeded."""
    from service.cli.progress import wait_with_bar

    try:
        job = wait_with_bar(client, job, f"{job.kind} {job.id[-8:]}")
    except KeyboardInterrupt:
        output.say(f"{job.id} goes on; `cleave jobs wait {job.id}` follows it again", err=True)
        raise typer.Exit(130) from None
    output.emit(job, as_json, lambda: show_job(client, job))
    if job.state != "succeeded":
        error = job.error
        fail(error.code if error else job.state, error.message if error else f"{job.id} was {job.state}")
    return job
