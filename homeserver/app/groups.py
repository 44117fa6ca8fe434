"""Groups of the IM API, built of their parts."""

from __future__ import annotations

from config import Config
from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.http.route_cache import RouteCache
from homeserver.im.group_announcements import GroupAnnouncements
from homeserver.im.group_dissolution import Aftermath, GroupDissolution
from homeserver.im.group_links import GroupLinks, LinkKeys, LinkSettings, LinkWriting
from homeserver.im.group_making import GroupDefaults, GroupMaking, GroupNumbers
from homeserver.im.group_members import Acquaintance, GroupMembers
from homeserver.im.group_mutes import GroupMutes
from homeserver.im.group_rules import check_appointment
from homeserver.im.group_waiting import WaitingGroups
from homeserver.im.groups import Groups
from homeserver.im_api.group_links import GroupLinkEndpoints
from homeserver.im_api.group_members import GroupMemberEndpoints
from homeserver.im_api.groups import GroupEndpoints
from storage.jobs import BackgroundJobs


class GroupServices:
    """The services of groups."""

    def __init__(
        self,
        config: Config,
        surroundings: Surroundings,
        rooms: RoomServices,
        acquaintance: Acquaintance,
        cache: RouteCache,
    ) -> None:
        db, clock = surroundings.database, surroundings.clock
        server_name = config.server.server_name
        self._background = BackgroundJobs(db, clock, surroundings.tasks)
        rooms.sending.check_with(check_appointment)
        numbers = GroupNumbers(rooms.aliases, surroundings.randomness, server_name=server_name)
        defaults = GroupDefaults(config.im.room_version, server_name, config.im.max_group_members)
        making = GroupMaking(rooms.creation, rooms.directory, numbers, defaults)
        self.groups = Groups(db, rooms.rooms, rooms.sending, rooms.directory)
        members = GroupMembers(
            self.groups,
            rooms.memberships,
            rooms.sending,
            acquaintance,
            max_members=config.im.max_group_members,
        )
        mutes = GroupMutes(db, self.groups, members, self._background, clock)
        announcements = GroupAnnouncements(self.groups, rooms.sending, rooms.access)
        dissolution = GroupDissolution(
            db,
            self.groups,
            rooms.writer,
            rooms.memberships,
            Aftermath(rooms.directory, numbers, clock),
            self._background,
        )
        links = GroupLinks(
            db,
            self.groups,
            members,
            LinkWriting(rooms.sending, rooms.invite_exchange),
            LinkKeys(clock, surroundings.randomness),
            LinkSettings(server_name, f"{config.server.base_url}/", config.im.invite_link_max_lifetime_ms),
        )
        rooms.invite_exchange.count_with(links)
        self.dissolution = dissolution
        self._handlers: list[object] = [
            GroupEndpoints(making, self.groups, members, announcements, dissolution, cache),
            GroupMemberEndpoints(members, mutes, WaitingGroups(db, rooms.stripped)),
            GroupLinkEndpoints(links),
        ]

    def handlers(self) -> list[object]:
        return self._handlers

    def start(self) -> None:
        """Go on with mutes that end and groups that are being dissolved."""
        self._background.start()

    def stop(self) -> None:
        self._background.stop()
