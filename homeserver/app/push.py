"""Push, built of its parts."""

from __future__ import annotations

from dataclasses import replace

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import UserParts, Users
from homeserver.client_api.pushers import PusherEndpoints
from homeserver.http.client import OutboundHttp
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.push.badges import Badges
from homeserver.push.delivery import Delivering
from homeserver.push.gateway import Gateways, Http, NoHttp
from homeserver.push.mail import AddressCheck, Mailing
from homeserver.push.news import News
from homeserver.push.notified import Notifications
from homeserver.push.pushers import KindCheck, Pushers, check_http
from homeserver.push.router import DeliveryKinds, PushRouter
from homeserver.rooms.log_tail import LogTail
from homeserver.users.mail.mailer import Mailer
from homeserver.users.session_events import SessionEvent
from storage import pushers as rows


def with_push(parts: UserParts) -> UserParts:
    """What accounts need to know of push: what goes with a device or an account."""
    return replace(
        parts,
        device_cleanups=[*parts.device_cleanups, rows.delete_of_device],
        account_cleanups=[*parts.account_cleanups, rows.delete_of_user],
    )


class PushServices:
    """What is told to those who are not there."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        users: Users,
        rooms: RoomServices,
        tail: LogTail,
        mailer: Mailer,
    ) -> None:
        section = config.push
        db = surroundings.database
        self._notifier = surroundings.notifier
        self._is_enabled = section.enabled
        kinds: dict[str, KindCheck] = {"http": check_http}
        sends_mail = config.email.is_enabled and config.email.enable_notifs
        if sends_mail:
            kinds["email"] = AddressCheck(db).check
        self.pushers = Pushers(db, surroundings.clock, kinds)
        self.notifications = Notifications(db, rooms.rooms, rooms.visibility, rooms.bundles)
        gateways = Gateways(
            _http(config, surroundings),
            rooms.rooms,
            timeout_ms=section.timeout_ms,
            include_content=section.include_content,
        )
        news = News(db, rooms.rooms)
        delivering = Delivering(
            gateways,
            Badges(db, rooms.rooms, rooms.history, by_room=section.group_unread_count_by_room),
            surroundings.clock,
            surroundings.tasks,
            surroundings.randomness,
            news.is_news,
            section.jitter_delay_ms,
        )
        client_url = config.email.client_base_url
        mailing = Mailing(
            mailer,
            rooms.rooms,
            surroundings.clock,
            surroundings.tasks,
            news.is_news,
            config.email.notif_delay_before_mail_ms,
            config.email.app_name,
            "https://matrix.to/#/" if client_url is None else f"{client_url.rstrip('/')}/#/room/",
        )
        self.router = PushRouter(
            db,
            rooms.rooms,
            self.notifications,
            tail,
            DeliveryKinds(delivering, mailing if sends_mail else None),
            self.pushers,
        )
        users.events.subscribe(self._session_changed)

    def handlers(self) -> list[object]:
        return [PusherEndpoints(self.pushers, self.notifications)]

    async def start(self) -> None:
        if self._is_enabled:
            await self.router.start(self._notifier)

    async def stop(self) -> None:
        if self._is_enabled:
            await self.router.stop()

    def _session_changed(self, event: SessionEvent) -> None:
        if event.has_ended and not event.is_locked:
            self.router.reload(event.user_id)


def _http(config: Config, surroundings: Surroundings) -> Http:
    """The way to gateways. Users say where they are, so addresses inside are denied."""
    if surroundings.network is None:
        return NoHttp()
    section = config.federation
    policy = AddressPolicy(section.ip_range_blacklist, section.ip_range_whitelist)
    return OutboundHttp(
        Fetcher(surroundings.network, surroundings.clock, policy, Trust()), surroundings.clock
    )
