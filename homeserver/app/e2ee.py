"""End-to-end encryption, built of its parts, and its endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field

from config import Config
from homeserver.app.surroundings import Surroundings
from homeserver.app.users import UserParts, Users
from homeserver.client_api.cross_signing import CrossSigningEndpoints, NoOAuth, OAuthSessions
from homeserver.client_api.dehydrated_devices import DehydratedDeviceEndpoints
from homeserver.client_api.keys import KeyEndpoints
from homeserver.client_api.room_keys import RoomKeyEndpoints
from homeserver.client_api.to_device import ToDeviceEndpoints
from homeserver.e2ee.announcements import Announcements
from homeserver.e2ee.answers import KeyAnswers
from homeserver.e2ee.claims import Claims
from homeserver.e2ee.cleanup import Cleanups
from homeserver.e2ee.cross_signing import CrossSigning, is_cross_signing_key
from homeserver.e2ee.dehydrated_devices import DehydratedDevices
from homeserver.e2ee.device_ids import DeviceIDs
from homeserver.e2ee.device_keys import KeyUploads
from homeserver.e2ee.device_lists import DeviceLists, device_changed
from homeserver.e2ee.inboxes import Inboxes
from homeserver.e2ee.key_backup import KeyBackups
from homeserver.e2ee.key_queries import KeyQueries
from homeserver.e2ee.key_rings import KeyRings
from homeserver.e2ee.keys_left import KeysLeft
from homeserver.e2ee.remote_devices import RemoteDevices
from homeserver.e2ee.remote_keys import NoRemoteKeys, RemoteKeys
from homeserver.e2ee.to_device import ToDevice
from homeserver.sync.e2ee_section import EncryptionSections


@dataclass(frozen=True, slots=True, kw_only=True)
class E2eeParts:
    """What encryption takes from the layers around it; each default is for a server without that feature."""

    remote_keys: RemoteKeys = field(default_factory=NoRemoteKeys)
    oauth: OAuthSessions = field(default_factory=NoOAuth)


def user_parts(surroundings: Surroundings) -> UserParts:
    """What accounts need to know of encryption: what goes with a device, and who is told."""
    cleanups = Cleanups(surroundings.database, surroundings.tasks)
    return UserParts(
        device_cleanups=[cleanups.delete_device],
        account_cleanups=[cleanups.delete_account],
        is_reserved_device_id=is_cross_signing_key,
        device_changed=device_changed,
    )


class E2ee:
    """The services of encryption; `handlers` are their endpoints, `sections` their part of `/sync`."""

    def __init__(self, config: Config, surroundings: Surroundings, users: Users, parts: E2eeParts) -> None:
        server_name = config.server.server_name
        db, clock, notifier = surroundings.database, surroundings.clock, surroundings.notifier
        tell_names = config.federation.allow_device_name_lookup_over_federation
        self.device_lists = DeviceLists(db, notifier)
        self.rings = KeyRings(db, notifier)
        self.uploads = KeyUploads(db, notifier)
        self.claims = Claims(db, parts.remote_keys, server_name=server_name)
        self.remote_devices = RemoteDevices(db, notifier, parts.remote_keys, server_name=server_name)
        self.queries = KeyQueries(self.rings, self.remote_devices, parts.remote_keys, server_name=server_name)
        self.cross_signing = CrossSigning(db, clock)
        self.backups = KeyBackups(db)
        self.inboxes = Inboxes(db, notifier, clock, surroundings.tasks)
        self.to_device = ToDevice(
            db, DeviceIDs(db, notifier), clock, surroundings.randomness, server_name=server_name
        )
        self.dehydrated_devices = DehydratedDevices(db, users.devices)
        self.answers = KeyAnswers(db, self.rings, self.claims, server_name=server_name, tell_names=tell_names)
        self.announcements = Announcements(
            db, notifier, clock, surroundings.tasks, server_name=server_name, tell_names=tell_names
        )
        self.sections = EncryptionSections(self.inboxes, self.device_lists, KeysLeft(db, notifier))
        self._interactive_auth = users.interactive_auth
        self._oauth = parts.oauth

    def handlers(self) -> list[object]:
        """The endpoints, for the router."""
        return [
            KeyEndpoints(self.uploads, self.queries, self.claims, self.device_lists),
            CrossSigningEndpoints(self.cross_signing, self._interactive_auth, self._oauth),
            RoomKeyEndpoints(self.backups),
            ToDeviceEndpoints(self.to_device),
            DehydratedDeviceEndpoints(self.dehydrated_devices),
        ]

    async def start(self) -> None:
        """Begin what runs by itself."""
        await self.announcements.start()

    async def stop(self) -> None:
        """Remember what is in memory only."""
        await self.announcements.stop()
        await self.inboxes.flush()
