"""Names of models: a name has versions, counted from 1, and aliases that each stand for one of them.

Wherever a path takes a model's id it also takes `name@alias`, `name@version` and `name@latest`.
"""

from sqlalchemy.orm import Session

from service.models import repository
from service.models.tables import Model
from service.models.words import LATEST
from service.platform.errors import ModelUnnamedError, NotFoundError


def find(session: Session, reference: str) -> Model | None:
    """The model of an id, or of a name and an alias or version."""
    name, at, which = reference.partition("@")
    if not at:
        return repository.find(session, reference)
    if which.isascii() and which.isdigit() and len(which) < 10:
        return repository.find_version(session, name, int(which))
    if which == LATEST:
        return repository.find_version(session, name, None)
    return repository.find_alias(session, name, which)


def rename(session: Session, model: Model, name: str | None) -> None:
    """Make the model the next version of `name`, or of none. Aliases of the name it had mean it no more."""
    if name == model.name:
        return
    repository.drop_aliases(session, model.id)
    model.name = name
    model.version = None if name is None else repository.next_version(session, model.tenant_id, name)
    session.flush()


def point(session: Session, model: Model, alias: str) -> None:
    """Let the alias of the model's name stand for this version. Raises ModelUnnamedError."""
    if model.name is None:
        raise ModelUnnamedError('Give the model a name first: PATCH with {"name": ...}.')
    repository.put_alias(session, model, alias)


def release(session: Session, model: Model, alias: str) -> None:
    """Take an alias off the model. Raises NotFoundError when it stands for another, or for none."""
    if not repository.drop_aliases(session, model.id, alias):
        raise NotFoundError("The model has no such alias.")
