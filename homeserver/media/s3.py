"""Media in an S3-compatible store. It needs the extra `s3`; nothing else imports `boto3`.

All methods block, as boto3 does, and are called on threads; boto3's clients may be shared by threads.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError

from config.media import S3Config
from homeserver.media.stores import Reader

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Store:
    """Objects in a bucket."""

    def __init__(self, config: S3Config, client: Any = None) -> None:
        """`client` is boto3's, or something like it."""
        self._bucket = config.bucket
        self._prefix = config.prefix
        self._client = client or boto3.client(
            "s3",
            endpoint_url=config.endpoint_url,
            region_name=config.region_name,
            aws_access_key_id=config.access_key_id,
            aws_secret_access_key=config.secret_access_key,
            config=BotoConfig(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"max_attempts": 3}
            ),
        )

    def put(self, name: str, source: Path) -> None:
        # In parts, so that memory does not grow with the file.
        self._client.upload_file(str(source), self._bucket, self._prefix + name)
        source.unlink()

    def open(self, name: str, start: int) -> Reader:
        wanted = {"Range": f"bytes={start}-"} if start else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, **wanted)
        except ClientError as error:
            raise _as_file_error(error, name) from error
        body: Reader = answer["Body"]
        return body

    def fetch(self, name: str) -> BinaryIO:
        file = TemporaryFile()  # noqa: SIM115  # whoever asked closes it
        try:
            self._client.download_fileobj(self._bucket, self._prefix + name, file)
        except ClientError as error:
            file.close()
            raise _as_file_error(error, name) from error
        file.seek(0)
        return file

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)


def _as_file_error(error: ClientError, name: str) -> Exception:
    code: str = error.response.get("Error", {}).get("Code", "")
    return FileNotFoundError(name) if code in _MISSING else OSError(f"{name}: {error}")
