"""Makes users of the managed homeserver, who can sign in with any Matrix client.

By Synapse's registration with the shared secret ("Shared-Secret Registration"), which nobody else knows. People need
no account here: this is for the operator, and for streamers who have none elsewhere.
"""

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from ghostlive.core.errors import GhostliveError

if TYPE_CHECKING:
    import httpx

_PATH: Final = "/_synapse/admin/v1/register"
_WITHIN: Final = 60.0


class AccountError(GhostliveError):
    """The homeserver did not make the user."""


async def make_user(
    url: str,
    *,
    secret: str,
    name: str,
    password: str,
    admin: bool,
    transport: "httpx.AsyncBaseTransport | None" = None,
) -> str:
    """Make a user of the homeserver at `url`; the Matrix ID. Raises `AccountError`."""
    import httpx  # noqa: PLC0415 - slow to load, for a command that is rarely used

    try:
        async with httpx.AsyncClient(
            base_url=url,
            timeout=_WITHIN,
            transport=transport,
            trust_env=False,
            verify=False,  # noqa: S501 - http:
        ) as client:
            asked = await client.get(_PATH)
            nonce = str(asked.raise_for_status().json()["nonce"])
            text = "\0".join((nonce, name, password, "admin" if admin else "notadmin"))
            body = {
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "inhibit_login": True,
                "mac": hmac.new(secret.encode(), text.encode(), hashlib.sha1).hexdigest(),
            }
            answer = await client.post(_PATH, json=body)
            document = answer.json()
            if answer.is_error:
                raise AccountError(f"the homeserver says: {document.get('error', answer.status_code)}")
            return str(document["user_id"])
    except httpx.TransportError as error:
        raise AccountError(f"the homeserver does not answer at {url}; it runs while the server runs") from error
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AccountError(f"what answers at {url} is not the managed homeserver") from error
