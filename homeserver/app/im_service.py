"""What the IM API says of itself, built when everything else is."""

from __future__ import annotations

from config import Config
from homeserver.app.mail import Mail
from homeserver.im_api.openapi import describe
from homeserver.im_api.reference import ReferenceEndpoints
from homeserver.im_api.service import ImCapabilities, ServiceEndpoints
from homeserver.users.mail.mailer import NoMailer
from homeserver.version import VERSION


def with_description(config: Config, mail: Mail, handlers: list[object]) -> list[object]:
    """The handlers, with those that describe all of them."""
    im = config.im
    capabilities = ImCapabilities(
        registration=config.registration.enable_registration,
        passwords=config.passwords.is_enabled,
        email_codes=not isinstance(mail.mailer, NoMailer),
        encrypted_rooms=im.encrypted,
        recall_window_ms=im.recall_window_ms,
        request_lifetime_ms=im.request_lifetime_ms,
        max_group_members=im.max_group_members,
        presence_scope=im.presence_scope,
        calls=bool(config.turn.turn_uris),
    )
    service = ServiceEndpoints(config.rate_limits.classes(), capabilities, VERSION)
    document = describe(
        [*handlers, service, ReferenceEndpoints],
        title=f"The IM API of {config.server.server_name}",
        version=VERSION,
        server=config.server.base_url,
    )
    return [*handlers, service, ReferenceEndpoints(document)]
