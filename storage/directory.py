"""Which rooms are published, for everybody and on the networks of application services."""

from __future__ import annotations

from homeserver.ids import RoomID
from storage.transaction import Transaction


def is_published(txn: Transaction, room_id: str) -> bool:
    return bool(txn.value("SELECT published FROM rooms WHERE room = ?", txn.find_interned(room_id)))


def set_published(txn: Transaction, room_id: str, *, published: bool) -> None:
    txn.execute("UPDATE rooms SET published = ? WHERE room = ?", int(published), txn.intern(room_id))


def set_network(txn: Transaction, appservice: str, network: str, room_id: str, *, published: bool) -> None:
    room = txn.intern(room_id)
    if published:
        txn.put(
            "network_rooms",
            ("appservice", "network", "room"),
            (appservice, network, room),
            ("appservice", "network", "room"),
        )
    else:
        txn.execute(
            "DELETE FROM network_rooms WHERE appservice = ? AND network = ? AND room = ?",
            appservice,
            network,
            room,
        )


def list_published(txn: Transaction, network: str | None, *, all_networks: bool) -> list[RoomID]:
    """The published rooms: of everybody's list, of one network ("appservice|network"), or of all."""
    if all_networks:
        rows = txn.all(
            "SELECT n.value FROM names n WHERE n.nid IN"
            " (SELECT room FROM rooms WHERE published = 1 UNION SELECT room FROM network_rooms)"
        )
    elif network is not None:
        appservice, _, name = network.partition("|")
        rows = txn.all(
            "SELECT n.value FROM network_rooms r JOIN names n ON n.nid = r.room"
            " WHERE r.appservice = ? AND r.network = ?",
            appservice,
            name,
        )
    else:
        rows = txn.all("SELECT n.value FROM rooms r JOIN names n ON n.nid = r.room WHERE r.published = 1")
    return [RoomID(str(room)) for (room,) in rows]
