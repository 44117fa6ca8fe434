"""Directories: users, rooms, aliases, and who may publish there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from config.schema import part, setting


@dataclass(frozen=True, kw_only=True, slots=True)
class UserDirectoryConfig:
    """The search for users."""

    enabled: bool = setting(True, "Whether it is offered.")
    search_all_users: bool = setting(False, "Whether it finds local users with whom no room is shared.")
    prefer_local_users: bool = setting(False, "Whether local users come first.")
    exclude_remote_users: bool = setting(False, "Whether it finds local users only.")
    show_locked_users: bool = setting(False, "Whether it finds locked users.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryRule:
    """A rule; the first whose globs all match decides."""

    user_id: str = setting("*", "Who acts, a glob.")
    alias: str = setting("*", "The alias, a glob.")
    room_id: str = setting("*", "The room, a glob.")
    action: Literal["allow", "deny"] = setting("allow", "What is decided.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryConfig:
    """Directories."""

    user_directory: UserDirectoryConfig = part(UserDirectoryConfig(), "The search for users.")
    enable_room_list_search: bool = setting(True, "Whether the room directory answers.")
    require_membership_for_aliases: bool = setting(True, "Whether one must be in a room to give it an alias.")
    alias_creation_rules: tuple[DirectoryRule, ...] | None = setting(
        None, "Who may make which aliases. Without rules, everybody; past the last rule, nobody."
    )
    room_list_publication_rules: tuple[DirectoryRule, ...] | None = setting(
        None, "Who may publish which rooms. Without rules, everybody; past the last rule, nobody."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceConfig:
    """Presence: who is online."""

    enabled: bool = setting(True, "Whether presence is kept and told. `untracked` (Synapse) is not offered.")
    include_offline_users_on_sync: bool = setting(
        False, "Whether an initial `/sync` lists those who are offline."
    )
