"""cleave compose and cleave download: get a network made of modules, and its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import output
from service.cli.registry import kind_of
from service.cli.session import JsonFlag, WaitFlag, connect, fail
from service.cli.spec_input import SetOption, read_spec

if TYPE_CHECKING:
    from service.client import CleaveClient
    from service.client.files import Download
    from service.client.schemas import Artifact


def compose(  # noqa: PLR0913 - the parameters are command line options
    ctx: typer.Context,
    classes: Annotated[list[str] | None, typer.Argument(help="Classes, in the order of the outputs.")] = None,
    model_id: Annotated[
        str | None, typer.Option("--model", help="Default: the best for the classes.")
    ] = None,
    module_ids: Annotated[list[str] | None, typer.Option("--module", help="Use these modules.")] = None,
    form: Annotated[str | None, typer.Option(help="gated or static.")] = None,
    settings: SetOption = None,
    wait: WaitFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Compose modules into one classifier. An identical request returns the one that exists."""
    given = {
        "classes": classes or None,
        "model_id": model_id,
        "module_ids": module_ids or None,
        "form": form,
    }
    with connect(ctx) as client:
        answer = client.compositions.create(read_spec("compose", None, given, settings))
        if wait and answer.job is not None:
            _follow(client, answer.job.id)
            answer = answer.model_copy(
                update={
                    "composition": client.compositions.get(answer.composition.id),
                    "job": client.jobs.get(answer.job.id),
                }
            )
    composition = answer.composition

    def show() -> None:
        from service.cli.registry import show_network

        if composition.ready:
            show_network(composition)
        else:
            output.say(f"{composition.id} is being built by {answer.job.id if answer.job else '-'}")

    output.emit(answer, as_json, show)


def download(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="ID", help="art_..., mdl_..., mod_... or cmp_...")],
    destination: Annotated[
        Path, typer.Argument(help="For one file its name, or a folder that is there; for several a folder.")
    ] = Path(),
    role: Annotated[
        str | None, typer.Option(help="Only this file of a model, module or composition, e.g. program.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Refuse any other content.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Download files; resumes where an earlier call stopped, and always verifies the sha256."""
    with connect(ctx) as client:
        artifacts = _artifacts(client, source, role)
        if len(artifacts) > 1:
            if sha256 is not None:
                raise typer.BadParameter("names one file; choose it with --role", param_hint="--sha256")
            destination.mkdir(parents=True, exist_ok=True)
        done = [client.artifacts.download(a.id, destination, sha256) for a in artifacts]
    if as_json:
        output.print_json([_as_dict(d) for d in done])
        return
    rows = [(str(d.path), output.size(d.size), d.sha256, d.url) for d in done]
    output.table("verified downloads", ("file", "size", "sha256", "from"), rows)


def bundle(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="ID", help="mdl_..., mod_... or cmp_...")],
    destination: Annotated[Path, typer.Argument(help="A file, or a folder.")] = Path(),
    as_json: JsonFlag = False,
) -> None:
    """Download all files as one zip, with a manifest and checksums; each file is verified."""
    with connect(ctx) as client:
        path = client.artifacts.bundle(source, destination)
    if as_json:
        output.print_json({"path": str(path), "size": path.stat().st_size})
    else:
        output.say(f"{path} ({output.size(path.stat().st_size)}), every file verified")


def _follow(client: "CleaveClient", job_id: str) -> None:
    from service.cli.progress import wait_with_bar

    job = wait_with_bar(client, client.jobs.get(job_id), f"compose {job_id[-8:]}")
    if job.state != "succeeded":
        error = job.error
        fail(error.code if error else job.state, error.message if error else f"{job.id} was {job.state}")


def _artifacts(client: "CleaveClient", source: str, role: str | None) -> "Sequence[Artifact]":
    """The artifact itself, or those of the model, module or composition named by `source`."""
    owners = {"mdl": client.models.get, "mod": client.modules.get, "cmp": client.compositions.get}
    get_owner = owners.get(kind_of(source))
    if get_owner is None:
        return [client.artifacts.get(source)]
    artifacts = get_owner(source).artifacts
    chosen = [a for a in artifacts if role in (None, a.role)]
    if not chosen:
        roles = ", ".join(sorted(a.role or "-" for a in artifacts)) or "no files at all"
        fail("no_such_role", f"{source} has no {role or 'files'}; it has: {roles}")
    return chosen


def _as_dict(download: "Download") -> dict[str, str | int]:
    return {
        "path": str(download.path),
        "url": download.url,
        "size": download.size,
        "sha256": download.sha256,
        "received": download.received,
    }
