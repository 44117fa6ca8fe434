"""What accounts need to know of application services; the registry itself lies above."""

from __future__ import annotations

from typing import Protocol

from homeserver.ids import UserID


class AppserviceIdentity(Protocol):
    """An application service that has shown its token."""

    @property
    def id(self) -> str: ...

    @property
    def sender(self) -> UserID:
        """The user that the service itself acts as."""

    @property
    def is_rate_limited(self) -> bool: ...

    def owns(self, user_id: UserID) -> bool:
        """Whether the user ID lies in a namespace of the service, or is its sender."""


class AppserviceDirectory(Protocol):
    """The application services that are registered here."""

    def find_by_token(self, token: str) -> AppserviceIdentity | None: ...

    def exclusive_owner(self, user_id: UserID) -> str | None:
        """The ID of the service that has claimed the user ID for itself."""


class NoAppservices:
    """A server without application services."""

    def find_by_token(self, token: str) -> AppserviceIdentity | None:
        """No token is one of theirs."""
        return None

    def exclusive_owner(self, user_id: UserID) -> str | None:
        """Nobody claims anything."""
        return None
