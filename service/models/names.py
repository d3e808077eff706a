"""Names of models: a name has versions, counted from 1, and aliases that each stand for one of them.

Wherever a path takes a model's id it also takes `name@alias`, `name@version` and `name@latest`.
"""

from typing import Any

from sqlalchemy.orm import Session

from service.models import repository
from service.models.tables import Model
from service.models.words import LATEST
from service.platform.errors import ModelUnnamedError, NotFoundError
from service.platform.holding import Lock, unlocked
from service.registry.reading import Seen, seen, seen_by_id


def find(session: Session, reference: str, lock: Lock = unlocked) -> Model | None:
    """The model of an id, or of a name and an alias or version."""
    model: Model | None = _find(session, reference, Model, lock)
    return model


def find_seen(session: Session, reference: str) -> Seen | None:
    """Its id and revision."""
    if "@" not in reference:
        return seen_by_id(session, Model, reference)
    found: Seen | None = _find(session, reference, seen(Model))
    return found


def _find(session: Session, reference: str, what: Any, lock: Lock = unlocked) -> Any:
    name, at, which = reference.partition("@")
    if not at:
        return repository.find(session, reference, what, lock)
    if which.isascii() and which.isdigit() and len(which) < 10:
        return repository.find_version(session, name, int(which), what, lock)
    if which == LATEST:
        return repository.find_version(session, name, None, what, lock)
    return repository.find_alias(session, name, which, what, lock)


def rename(session: Session, model: Model, name: str | None) -> None:
    """Make the model the next version of `name`, or of none. Aliases of the name it had mean it no more."""
    if name == model.name:
        return
    repository.drop_aliases(session, model.id)
    version = None if name is None else repository.next_version(session, model.tenant_id, name)
    # Together: the version it had may be another model's in the new name.
    model.name, model.version = name, version
    session.flush()


def holder(session: Session, model: Model, alias: str) -> list[str]:
    """The id of the model that the alias stands for, which changes too when the alias moves."""
    if model.name is None:
        return []
    found = repository.find_alias(session, model.name, alias)
    return [] if found is None else [found.id]


def point(session: Session, model: Model, alias: str) -> None:
    """Let the alias of the model's name stand for this version. Raises ModelUnnamedError."""
    if model.name is None:
        raise ModelUnnamedError('Give the model a name first: PATCH with {"name": ...}.')
    repository.put_alias(session, model, alias)


def release(session: Session, model: Model, alias: str) -> None:
    """Take an alias off the model. Raises NotFoundError when it stands for another, or for none."""
    if not repository.drop_aliases(session, model.id, alias):
        raise NotFoundError("The model has no such alias.")
