"""/v1/api_keys: the keys of the caller's tenant, for keys of scope `admin`."""

from fastapi import APIRouter, Response

from service.platform.dependencies import CallerDep, PepperDep, Reader, Writer
from service.platform.openapi import problems
from service.platform.pagination import ListOf, PageDep
from service.tenants import keys
from service.tenants.schemas import KeyCreate, KeyId, KeyRotate, KeySecret, KeyView

router = APIRouter(prefix="/v1/api_keys", tags=["api_keys"])


@router.post("", operation_id="api_keys_create", status_code=201)
def create(
    request: KeyCreate, session: Writer, caller: CallerDep, pepper: PepperDep, response: Response
) -> KeySecret:
    """Make a key. The answer has its text, this once: only a keyed hash is stored."""
    made = keys.create(session, pepper, caller.tenant_id, request)
    response.headers["Location"] = f"/v1/api_keys/{made.id}"
    return made


@router.get("", operation_id="api_keys_list")
def list_keys(session: Reader, page: PageDep) -> ListOf[KeyView]:
    """Your tenant's keys without their secrets, newest first; also those that are over."""
    return keys.page_of_keys(session, page)


@router.get("/{key_id}", operation_id="api_keys_get")
def get(key_id: KeyId, session: Reader) -> KeyView:
    """One key, without its secret."""
    return keys.get(session, key_id)


@router.post("/{key_id}/rotate", operation_id="api_keys_rotate", responses=problems(409))
def rotate(key_id: KeyId, request: KeyRotate, session: Writer, pepper: PepperDep) -> KeySecret:
    """A new secret under the same id. The one before stays good for `overlap_s` seconds."""
    return keys.rotate(session, pepper, key_id, request.overlap_s)


@router.post("/{key_id}/revoke", operation_id="api_keys_revoke")
def revoke(key_id: KeyId, session: Writer) -> KeyView:
    """End a key: a second from now it opens nothing. There is no way back."""
    return keys.revoke(session, key_id)
