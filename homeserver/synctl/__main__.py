"""`synctl`, and `python -m homeserver.synctl`."""

from __future__ import annotations

import sys

from homeserver.synctl.cli import synctl
from homeserver.synctl.errors import Refused


def main() -> None:
    """Run a verb; a refusal is one line and exit code 1."""
    try:
        synctl(prog_name="synctl")
    except Refused as refused:
        sys.exit(f"synctl: {refused}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
