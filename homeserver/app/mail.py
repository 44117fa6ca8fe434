"""Mail, addresses, and what proves them or their owners, built of their parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from config import Config
from federation.wire.x_matrix import sign_request
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import UserParts, Users
from homeserver.client_api.email_validation import EmailValidationEndpoints
from homeserver.client_api.threepids import ThreepidEndpoints
from homeserver.events.canonical_json import encode_canonical
from homeserver.events.signatures import SigningKey
from homeserver.http.client import OutboundHttp
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.ids import ServerName
from homeserver.users.captcha import CaptchaStage
from homeserver.users.identity_servers import IdentityServers
from homeserver.users.jwt_login import JwtLogin
from homeserver.users.mail.codes import CodeRules, EmailCodes
from homeserver.users.mail.mailer import Mailer, NoMailer, TemplateMailer
from homeserver.users.mail.sms import SmsMailer
from homeserver.users.mail.smtp import SmtpTransport
from homeserver.users.mail.stage import AddressStage
from homeserver.users.mail.validation import PHONE, AddressValidation, ValidationPolicy
from homeserver.users.registration_policy import EMAIL as EMAIL_STAGE
from homeserver.users.registration_policy import PHONE as PHONE_STAGE
from homeserver.users.threepids import Threepids


class Mail:
    """What sends mail, and what mail proves. `mailer` and `codes` are for whoever has something to send."""

    def __init__(self, config: Config, surroundings: Surroundings, signing_key: SigningKey) -> None:
        db, clock, randomness = surroundings.database, surroundings.clock, surroundings.randomness
        self._config = config
        self._db = db
        self._clock = clock
        self._web = web_of(config, surroundings)
        self.mailer: Mailer = NoMailer()
        self.validation: AddressValidation | None = None
        if config.email.is_enabled and surroundings.network is not None:
            self.mailer = TemplateMailer(
                config.email,
                SmtpTransport(surroundings.network, clock, config.email),
                clock,
                randomness,
                server_name=config.server.server_name,
            )
            self.validation = AddressValidation(db, clock, randomness, self.mailer, policy_of(config))
        im = config.im
        rules = CodeRules(im.email_code_lifetime_ms, im.email_code_resend_after_ms, im.email_code_attempts)
        self.phone_validation: AddressValidation | None = None
        if config.sms.gateway_url is not None and surroundings.network is not None:
            # The gateway's address is the operator's, so any may be reached.
            trust = Trust(config.federation.federation_custom_ca_list)
            fetcher = Fetcher(surroundings.network, clock, AddressPolicy(()), trust)
            sms = SmsMailer(config.sms, OutboundHttp(fetcher, clock), server_name=config.server.server_name)
            self.phone_validation = AddressValidation(
                db, clock, randomness, sms, policy_of(config), medium=PHONE
            )
        self.codes = EmailCodes(db, clock, randomness, surroundings.tasks, self.mailer, rules)
        self.identity = IdentityServers(
            self._web,
            _Signer(config.server.server_name, signing_key),
            config.identity.trusted_identity_servers,
        )
        sessions = [one for one in (self.validation, self.phone_validation) if one is not None]
        self.threepids = Threepids(db, clock, sessions, self.identity)

    def with_mail(self, parts: UserParts) -> UserParts:
        """What accounts need to know of mail, beside what they know already."""
        stages, methods = list(parts.stages), list(parts.login_methods)
        if self.validation is not None:
            stages.append(AddressStage(EMAIL_STAGE, self.validation))
        if self.phone_validation is not None:
            stages.append(AddressStage(PHONE_STAGE, self.phone_validation))
        registration, identity = self._config.registration, self._config.identity
        if registration.enable_registration_captcha:
            stages.append(
                CaptchaStage(
                    self._web,
                    public_key=registration.recaptcha_public_key or "",
                    private_key=registration.recaptcha_private_key or "",
                    url=registration.recaptcha_siteverify_api,
                )
            )
        if identity.jwt_config.enabled:
            methods.append(
                JwtLogin(self._db, self._clock, identity.jwt_config, self._config.server.server_name)
            )
        return replace(parts, stages=stages, login_methods=methods, unbinder=self.threepids)

    def handlers(self, users: Users) -> list[object]:
        """The endpoints, for the router."""
        may_change = self._config.registration.enable_3pid_changes
        return [
            EmailValidationEndpoints(self.validation, self.phone_validation, may_add=may_change),
            ThreepidEndpoints(self.threepids, users.interactive_auth, may_change=may_change),
        ]


class _Signer:
    """Signs requests to identity servers as those to other servers are signed."""

    def __init__(self, server_name: ServerName, key: SigningKey) -> None:
        self._server_name = server_name
        self._key = key

    def authorization(self, method: str, uri: str, destination: ServerName, content: Any) -> str:
        return sign_request(
            method=method,
            uri=uri,
            origin=self._server_name,
            destination=destination,
            content=encode_canonical(content, strict=True),
            key=self._key,
        )


def policy_of(config: Config) -> ValidationPolicy:
    """Which addresses may be proved, as the configuration says."""
    pages = (config.server.base_url, config.email.client_base_url)
    return ValidationPolicy(
        config.server.base_url,
        config.email.validation_token_lifetime_ms,
        config.registration.allowed_local_3pids,
        config.registration.request_token_inhibit_3pid_errors,
        frozenset(urlsplit(page).netloc for page in pages if page is not None),
    )


def web_of(config: Config, surroundings: Surroundings) -> OutboundHttp | None:
    """The way to identity servers: to public addresses only, as to other servers."""
    if surroundings.network is None:
        return None
    section = config.federation
    policy = AddressPolicy(section.ip_range_blacklist, section.ip_range_whitelist)
    return OutboundHttp(
        Fetcher(surroundings.network, surroundings.clock, policy, Trust(section.federation_custom_ca_list)),
        surroundings.clock,
    )
