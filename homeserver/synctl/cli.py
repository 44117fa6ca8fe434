"""The verbs of the command."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from config.loading import load_raw
from config.pending import unheeded
from homeserver.events.signatures import parse_signing_keys
from homeserver.http.ports import PortRefused, check_port
from homeserver.synctl import accounts, generate, logs, process
from homeserver.synctl.errors import Refused
from homeserver.synctl.site import Site

NOT_RUNNING = 3
"""The exit code of `status` for a server that does not run, as init scripts have it."""

DEFAULT_NAME = "localhost"
DEFAULT_PORT = 8008


def home() -> Path:
    """Where `data/` is: the checkout, or the present directory where Hearth was installed by pip."""
    return Path(os.environ.get("HEARTH_HOME", "."))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@click.version_option(package_name="hearth")
@click.pass_context
def synctl(context: click.Context, path: Path | None) -> None:
    """Run a Hearth homeserver on this machine. Without -c, it lives in data/."""
    context.obj = path


def _path(given: Path | None) -> Path:
    return given or home() / "data" / "homeserver.yaml"


def _site(context: click.Context) -> Site:
    return Site.open(_path(context.obj))


@synctl.command()
@click.pass_context
def start(context: click.Context) -> None:
    """Start the server in the background; the first time, make a configuration for it."""
    path = _path(context.obj)
    if context.obj is None and not path.exists():
        _make_first(path)
    site = Site.open(path)
    pid = process.find_process(site.pid_file)
    if pid is not None:
        click.echo(f"Hearth is running already (pid {pid}).")
    else:
        pid = process.start(site)
        click.echo(f"Hearth is running (pid {pid}).")
    _show_whereabouts(site)


def _make_first(path: Path) -> None:
    try:
        check_port(DEFAULT_PORT, ("127.0.0.1", "::1"))
    except PortRefused as error:
        raise Refused(
            f"{error}; `synctl generate-config --port` makes a configuration for another"
        ) from error
    generate.generate(generate.Wanted(DEFAULT_NAME, path.parent, DEFAULT_PORT))
    click.echo(f"Wrote {path}, with a new signing key.")


def _show_whereabouts(site: Site) -> None:
    command = os.environ.get("HEARTH_SYNCTL", "synctl")
    if site.path != _path(None).resolve():
        command = f"{command} -c {site.path}"
    url = site.urls[0] if site.urls else "(no port)"
    click.echo(
        f"""
  Server name    {site.config.server.server_name}
  For clients    {url}
  Configuration  {site.path}
  Log            {site.log_file}

Next:
  {command} register-user    makes an account; give the first one --admin
  Log in with any Matrix client: as homeserver, enter {url}
  {command} stop             stops the server"""
    )


@synctl.command()
@click.pass_context
def stop(context: click.Context) -> None:
    """Stop the server, once it has finished what is in flight."""
    try:
        site = _site(context)
    except Refused:
        # Whoever has just broken the configuration may want to stop the server all the more.
        pid_file = _path(context.obj).parent / "homeserver.pid"
        pid = process.find_process(pid_file)
        if pid is None:
            raise
        process.stop(pid_file, pid, patience_s=0)
        click.echo("Hearth has stopped. Its configuration is broken: see `synctl check-config`.")
    else:
        _stop(site)


def _stop(site: Site) -> None:
    pid = process.find_process(site.pid_file)
    if pid is None:
        site.pid_file.unlink(missing_ok=True)
        click.echo("Hearth is not running.")
        return
    process.stop(site.pid_file, pid, patience_s=site.config.limits.shutdown_timeout_ms / 1000)
    click.echo("Hearth has stopped.")


@synctl.command()
@click.pass_context
def restart(context: click.Context) -> None:
    """Stop the server if it runs, and start it again."""
    site = _site(context)
    check(site)
    _stop(site)
    pid = process.start(site)
    click.echo(f"Hearth is running (pid {pid}).")
    _show_whereabouts(site)


@synctl.command()
@click.pass_context
def status(context: click.Context) -> None:
    """Say whether the server runs: exit code 0 if it does, 3 if not, 1 if it runs but does not answer."""
    site = _site(context)
    pid = process.find_process(site.pid_file)
    if pid is None:
        click.echo("Hearth is not running.")
        sys.exit(NOT_RUNNING)
    if not process.answers(site):
        raise Refused(f"Hearth is running (pid {pid}) but does not answer; see {site.log_file}")
    click.echo(f"Hearth is running (pid {pid}) and answers at {', '.join(site.urls) or 'its socket'}.")


@synctl.command(name="logs")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are added.")
@click.option("-n", "--lines", default=50, show_default=True, help="How many of the last lines.")
@click.pass_context
def show_logs(context: click.Context, lines: int, *, follow: bool) -> None:
    """Show the end of the log."""
    logs.show(_site(context).log_file, lines, follow=follow)


@synctl.command()
@click.option("-u", "--user", "username", help="The name before the colon.")
@click.option("-p", "--password", help="Asked for if it is not given.")
@click.option("-a", "--admin/--no-admin", "is_admin", default=False, help="Whether it is an administrator.")
@click.pass_context
def register_user(
    context: click.Context, username: str | None, password: str | None, *, is_admin: bool
) -> None:
    """Make an account on the running server."""
    site = _site(context)
    username = username or click.prompt("Name")
    password = password or click.prompt("Password", hide_input=True, confirmation_prompt=True)
    user_id = accounts.register(site, accounts.NewAccount(username, password, is_admin))
    click.echo(f"{user_id} can log in now.")


@synctl.command()
@click.pass_context
def check_config(context: click.Context) -> None:
    """Say whether the configuration, its keys and its certificates can be used."""
    site = _site(context)
    check(site)
    for setting in unheeded(load_raw(site.path)):
        click.echo(f"{setting} has no effect yet.")
    click.echo(f"{site.path} is fine.")


def check(site: Site) -> None:
    """Look at everything that the configuration points at.

    Raises:
        Refused: something is missing or broken.
    """
    key_path = site.config.keys.signing_key_path
    certificates = site.config.listeners
    try:
        if not parse_signing_keys(key_path.read_text(encoding="ascii")):
            raise Refused(f"signing_key_path: {key_path} is empty")
        for path in (
            certificates.tls_certificate_path,
            certificates.tls_private_key_path,
            *site.config.federation.federation_custom_ca_list,
            *site.config.appservices.app_service_config_files,
        ):
            if path is not None:
                path.read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"signing_key_path: {key_path}: {error}") from error


@synctl.command()
@click.option("--server-name", required=True, help="What stands in user IDs. It can never be changed.")
@click.option("--data-dir", type=click.Path(path_type=Path), required=True, help="Where everything is kept.")
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
def generate_config(server_name: str, data_dir: Path, port: int) -> None:
    """Write DATA_DIR/homeserver.yaml, with a signing key and secrets."""
    path = generate.generate(generate.Wanted(server_name, data_dir, port))
    click.echo(f"Wrote {path}. Start it with: {os.environ.get('HEARTH_SYNCTL', 'synctl')} -c {path} start")
