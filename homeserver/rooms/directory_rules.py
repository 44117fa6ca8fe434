"""Who may make which aliases and publish which rooms, as the administrator has it: the first rule that fits decides."""

from __future__ import annotations

from collections.abc import Sequence

from config.directory import DirectoryRule
from homeserver.errors import Forbidden
from homeserver.events.glob import compile_glob
from homeserver.ids import RoomAlias, RoomID, UserID


class DirectoryRules:
    """Rules in their order; without any everything may be done, and past the last one nothing."""

    def __init__(self, rules: Sequence[DirectoryRule] | None) -> None:
        self._rules = None
        if rules is not None:
            self._rules = [
                (
                    compile_glob(rule.user_id).matches,
                    compile_glob(rule.alias).matches,
                    compile_glob(rule.room_id).matches,
                    rule.action == "allow",
                )
                for rule in rules
            ]

    def permits(self, user_id: UserID, aliases: Sequence[RoomAlias], room_id: RoomID | None) -> bool:
        """Whether the user may do it to a room with these aliases; one that is only being made has no ID."""
        if self._rules is None:
            return True
        for is_user, is_alias, is_room, allows in self._rules:
            named = any(is_alias(alias) for alias in aliases) if aliases else is_alias("")
            if named and is_user(user_id) and is_room(room_id or ""):
                return allows
        return False

    def check_alias(self, alias: RoomAlias, user_id: UserID, room_id: RoomID | None) -> None:
        """
        Raises:
            Forbidden: the user may not make this alias, or not of this room.
        """
        if not self.permits(user_id, [alias], room_id):
            raise Forbidden(f"you may not make the alias {alias}")
