"""`python -m homeserver.app -c FILE`: the server in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import sys

import click

from config import ConfigError, load
from config.loading import load_raw
from config.pending import unheeded


@click.command()
@click.option("-c", "--config", "path", default="data/homeserver.yaml", help="The configuration file.")
def main(path: str) -> None:
    """Run the homeserver."""
    try:
        config = load(path)
        in_vain = list(unheeded(load_raw(path)))
    except ConfigError as error:
        sys.exit(f"hearth: {error}")
    # The reactor must be chosen before anything asks for one.
    from homeserver.app.reactor import install

    install()
    from homeserver.app.running import CannotStart, run

    try:
        run(config, in_vain)
    except CannotStart as error:
        sys.exit(f"hearth: {error}")


if __name__ == "__main__":
    main()
