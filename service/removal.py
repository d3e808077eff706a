"""Taking models, modules and compositions out of the registry, unless something else is made of them.

Their files go later, when nothing names them any more: `service.artifacts.collection`.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.artifacts import service as artifacts
from service.compositions import service as compositions
from service.jobs import service as jobs
from service.models import service as models
from service.modules import service as modules
from service.platform.errors import InUseError
from service.platform.holding import taken
from service.registry import labels
from service.registry.etags import require_match


def remove_model(session: Session, model_id: str, if_match: str | None) -> None:
    """Raises NotFoundError, PreconditionFailedError, InUseError."""
    model_id = models.get(session, model_id, taken).id
    require_match(if_match, models.describe(session, model_id))
    users = {
        "modules": modules.ids_of_model(session, model_id),
        "compositions": compositions.ids_of_model(session, model_id),
        "models": models.ids_started_from(session, model_id),
    }
    _remove(session, model_id, users, models.remove)


def remove_module(session: Session, module_id: str, if_match: str | None) -> None:
    """Raises NotFoundError, PreconditionFailedError, InUseError."""
    modules.get(session, module_id, taken)
    require_match(if_match, modules.describe(session, module_id))
    users = {"compositions": compositions.ids_with_module(session, module_id)}
    _remove(session, module_id, users, modules.remove)


def remove_composition(session: Session, composition_id: str, if_match: str | None) -> None:
    """Raises NotFoundError, PreconditionFailedError, InUseError."""
    compositions.get(session, composition_id, taken)
    require_match(if_match, compositions.describe(session, composition_id))
    _remove(session, composition_id, {}, compositions.remove)


def _remove(
    session: Session,
    owner_id: str,
    users: Mapping[str, Sequence[str]],
    remove: Callable[[Session, str], None],
) -> None:
    users = {**users, "jobs that have not ended": jobs.active_jobs_naming(session, owner_id)}
    named = [f"{kind} ({', '.join(ids)}, ...)" for kind, ids in users.items() if ids]
    if named:
        raise InUseError(f"{owner_id} is used by {' and by '.join(named)}. Remove or end those first.")
    models.remove_metrics(session, owner_id)
    labels.forget(session, owner_id)
    artifacts.remove_of(session, owner_id)
    try:
        remove(session, owner_id)
    except IntegrityError as error:  # something was made of it at this moment
        raise InUseError(f"{owner_id} is used by something that was just made.") from error
