"""Refusals in the words of OAuth 2.0 (RFC 6749 §5.2)."""

from __future__ import annotations

from typing import Any

from homeserver.errors import MatrixError


class OAuthError(MatrixError):
    """`code` is OAuth's `error`, and the sentence its `error_description`."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        super().__init__(description, status=status, errcode=code)

    def body(self) -> dict[str, Any]:
        """The error response."""
        return {"error": self.code, "error_description": self.error}
