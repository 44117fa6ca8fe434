"""The ways of following that came before `/sync`, built of their parts."""

from __future__ import annotations

from homeserver.app.rooms import RoomServices
from homeserver.app.surroundings import Surroundings
from homeserver.app.sync import SyncServices
from homeserver.client_api.initial_sync import InitialSyncEndpoints
from homeserver.sync.composer import Extras
from homeserver.sync.event_stream import EventStream, NewEvents
from homeserver.sync.initial import InitialSync, RoomSnapshots


def legacy_sync_handlers(
    surroundings: Surroundings, rooms: RoomServices, sync: SyncServices, presence: Extras
) -> list[object]:
    """What old clients ask."""
    notifier = surroundings.notifier
    snapshots = RoomSnapshots(rooms.access, rooms.history, rooms.directory, sync.own_data)
    initial = InitialSync(sync.feeds, snapshots, sync.own_data, notifier, presence)
    events = NewEvents(rooms.rooms, rooms.access, rooms.history, rooms.bundles, sync.own_data)
    stream = EventStream(sync.feeds, events, notifier, surroundings.clock)
    return [InitialSyncEndpoints(initial, stream, sync.clients, rooms.access, rooms.bundles)]
