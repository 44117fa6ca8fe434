"""How much one user may upload, and how much may lie here."""

from __future__ import annotations

from config.media import MediaConfig
from homeserver.errors import Forbidden, LimitExceeded
from homeserver.ids import UserID
from storage import media
from storage.transaction import Transaction


class Quotas:
    """The limits of the configuration, looked up before a file is read and again when it is kept."""

    def __init__(self, config: MediaConfig) -> None:
        self._total = config.media_quota
        self._limits = config.media_upload_limits
        self._max_pending = config.max_pending_media_uploads
        self.max_bytes = config.max_upload_size

    def check(self, txn: Transaction, user_id: UserID, size: int, now_ms: int) -> None:
        """Refuse a file of this size.

        Raises:
            Forbidden: it is more than the user may have here, or upload in the time.
        """
        if self._total is not None and media.uploaded_bytes(txn, user_id) + size > self._total:
            raise Forbidden(f"your files here may have {self._total} bytes together")
        for limit in self._limits:
            uploaded = media.uploaded_bytes(txn, user_id, now_ms - limit.time_period_ms)
            if uploaded + size > limit.max_size:
                raise Forbidden(f"you may upload {limit.max_size} bytes in {limit.time_period_ms} ms")

    def check_pending(self, txn: Transaction, user_id: UserID, now_ms: int) -> None:
        """Refuse another reserved ID.

        Raises:
            LimitExceeded: too many of the user's wait already.
        """
        count, expires_ms = media.count_pending(txn, user_id, now_ms)
        if count >= self._max_pending:
            retry_after_ms = 1000 if expires_ms is None else max(expires_ms - now_ms, 1)
            raise LimitExceeded(f"{count} of your uploads are pending", retry_after_ms=retry_after_ms)
