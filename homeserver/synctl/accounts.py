"""Making accounts with the registration secret."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from homeserver.synctl.errors import Refused
from homeserver.synctl.http import Unreachable, ask
from homeserver.synctl.site import Site

PATH = "/_synapse/admin/v1/register"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to make."""

    username: str
    password: str
    is_admin: bool

    def mac(self, nonce: str, secret: str) -> str:
        """Proof that whoever asks knows the secret."""
        parts = (nonce, self.username, self.password, "admin" if self.is_admin else "notadmin")
        return hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()


def register(site: Site, account: NewAccount) -> str:
    """Make an account; its user ID.

    Raises:
        Refused: there is no secret, nobody answers, or the server does not want to.
    """
    secret = site.config.registration.registration_shared_secret
    if secret is None:
        raise Refused("the configuration has no registration_shared_secret")
    try:
        offer = ask(site, "GET", PATH)
        if offer.status != 200:
            raise Refused(offer.error)
        nonce = offer.body["nonce"]
        done = ask(
            site,
            "POST",
            PATH,
            {
                "nonce": nonce,
                "username": account.username,
                "password": account.password,
                "admin": account.is_admin,
                "mac": account.mac(nonce, secret),
                "inhibit_login": True,
            },
        )
    except Unreachable as error:
        raise Refused("the server is not running; `synctl start` starts it") from error
    if done.status != 200:
        raise Refused(done.error)
    return str(done.body["user_id"])
