"""From what a provider says of somebody to the user they are, or become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from config.identity import OidcProvider
from homeserver.errors import Forbidden
from homeserver.ids import is_localpart
from homeserver.users.identifiers import canonical_email

_templates = SandboxedEnvironment()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a provider. What the templates do not give is None."""

    subject: str
    localpart: str | None = None
    display_name: str | None = None
    email: str | None = None


def person_of(provider: OidcProvider, claims: Mapping[str, Any]) -> Person:
    """
    Raises:
        Forbidden: the claims name nobody, or somebody who may not log in here.
    """
    mapping = provider.user_mapping_provider.config
    subject = claims.get(mapping.subject_claim)
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if not isinstance(subject, str) or not subject:
        raise Forbidden(f"{provider.idp_name} does not say who you are")
    for required in provider.attribute_requirements:
        given = claims.get(required.attribute)
        held = {str(each) for each in (given if isinstance(given, list) else [given]) if each is not None}
        wanted = {*required.one_of, *(() if required.value is None else (required.value,))}
        if not held or (wanted and not held & wanted):
            raise Forbidden(f"{provider.idp_name} does not say that you may use this server")
    email = _rendered(mapping.email_template, claims)
    if claims.get("email_verified") is False:
        email = None
    localpart = _rendered(mapping.localpart_template, claims)
    return Person(
        subject,
        None if localpart is None else localpart_for(localpart),
        _rendered(mapping.display_name_template, claims),
        None if email is None else canonical_email(email),
    )


def localpart_for(name: str) -> str:
    """The localpart for a name in any characters.

    Spec: https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets
    """
    lowered = name.lower()
    return "".join(
        char if is_localpart(char) and char != "=" else "".join(f"={byte:02x}" for byte in char.encode())
        for char in lowered
    )


def _rendered(template: str | None, claims: Mapping[str, Any]) -> str | None:
    if template is None:
        return None
    try:
        text = _templates.from_string(template).render(user=claims).strip()
    except TemplateError:
        return None
    return text or None
