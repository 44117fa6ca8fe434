"""Who may make an account, and which stages they have to pass for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.registration import RegistrationConfig, TermsConfig
from homeserver.errors import Forbidden
from homeserver.users.stages import DUMMY, REGISTRATION_TOKEN, TERMS

CAPTCHA = "m.login.recaptcha"
EMAIL = "m.login.email.identity"
PHONE = "m.login.msisdn"


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """As the server is configured. Email and phone stages that are offered but not required are up to the
    user.
    """

    enabled: bool = False
    allow_guests: bool = False
    requires_token: bool = False
    requires_captcha: bool = False
    requires_terms: bool = False
    requires_approval: bool = False
    offers: Sequence[str] = ()
    requires: Sequence[str] = ()

    @classmethod
    def of(cls, config: RegistrationConfig, stages: Collection[str]) -> RegistrationPolicy:
        """The policy that the configuration describes; only `stages` can be offered."""
        addresses = [stage for stage in (EMAIL, PHONE) if stage in stages]
        if config.disable_msisdn_registration and PHONE in addresses:
            addresses.remove(PHONE)
        mediums = {"email": EMAIL, "msisdn": PHONE}
        return cls(
            enabled=config.enable_registration,
            allow_guests=config.allow_guest_access,
            requires_token=config.registration_requires_token,
            requires_captcha=config.enable_registration_captcha,
            requires_terms=config.user_consent.enabled,
            offers=addresses,
            requires=[mediums[medium] for medium in config.registrations_require_3pid],
        )

    def check_open(self) -> None:
        """Refuse everybody where registration is switched off.

        Raises:
            Forbidden: it is.
        """
        if not self.enabled:
            raise Forbidden("registration is disabled on this server")

    def check_open_to_guests(self) -> None:
        """Refuse guests where they are not allowed.

        Raises:
            Forbidden: they are not.
        """
        if not self.allow_guests:
            raise Forbidden("guest access is disabled on this server")

    def flows(self) -> list[list[str]]:
        """The stages of registration, in the order in which they are passed."""
        common = []
        if self.requires_captcha:
            common.append(CAPTCHA)
        if self.requires_token:
            common.append(REGISTRATION_TOKEN)
        if self.requires_terms:
            common.append(TERMS)
        optional = [stage for stage in self.offers if stage not in self.requires]
        flows = [[*common, *self.requires, *([stage] if stage else [])] for stage in ("", *optional)]
        # A flow that is the beginning of another would let through who meant to pass the other: a dummy sets
        # it apart.
        if len(flows) > 1 or not flows[0]:
            flows[0].append(DUMMY)
        return flows


def policies_of(terms: TermsConfig) -> Mapping[str, Any]:
    """The documents to accept, as the specification writes them."""
    document = {"name": terms.policy_name, "url": terms.url}
    return {"terms_of_service": {"version": terms.version, terms.language: document}}
