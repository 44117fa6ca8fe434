"""A server as a process: its reactor, threads, files, ports and signals."""

from __future__ import annotations

import gc
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from OpenSSL import SSL, crypto
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from config import Config
from config.listeners import Listener
from homeserver.app.federation import Outside, https_outside
from homeserver.app.limits import open_redis
from homeserver.app.log_file import LogFile, open_log
from homeserver.app.server import Homeserver, build_homeserver
from homeserver.errors import HearthError
from homeserver.events.signatures import SigningKey, parse_signing_keys
from homeserver.http.listeners import listen_tcp, listen_unix
from homeserver.http.ports import PortRefused, check_port
from homeserver.http.server import HttpServer
from homeserver.http.site import Limits
from homeserver.http.tls import ReloadingCertificate
from homeserver.runtime.clock import Clock
from homeserver.runtime.logging import capture_twisted, set_up_logging
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.notifier import Notifier
from homeserver.runtime.random import Randomness
from homeserver.runtime.tasks import Tasks
from homeserver.version import VERSION
from storage import open_database
from storage.worker import ThreadWorker

_log = structlog.get_logger(__name__)

GC_THRESHOLD = 10_000
"""How many new objects (net) make the collector look at them: some megabytes at most."""
COMPRESS_ABOVE = 1024
"""Bytes below which compressing an answer costs more than it saves."""


SLOW_WORK_THREADS = 2
"""How much slow work (hashing passwords, mostly) is done at once: each takes a core and some 20 MB."""


class CannotStart(Exception):
    """One sentence that says what stands in the way."""


def run(config: Config, in_vain: Sequence[str] = ()) -> None:
    """Serve until a signal ends it; what is in flight then is finished. `in_vain` are settings to warn of.

    Raises:
        CannotStart: something stands in the way; nothing has been changed.
    """
    reactor: Any = installed_reactor
    try:
        for listener in config.listeners.listeners:
            check_port(listener.port or 0, listener.bind_addresses)
    except PortRefused as error:
        raise CannotStart(str(error)) from error
    keys = read_signing_keys(config.keys.signing_key_path)
    process = Process(config, reactor, keys)
    for setting in in_vain:
        _log.warning("this setting has no effect yet", setting=setting)
    reactor.callWhenRunning(process.start)
    reactor.addSystemEventTrigger("before", "shutdown", process.stop)
    reactor.run()
    if process.failure is not None:
        raise process.failure


def read_signing_keys(path: Path) -> list[SigningKey]:
    """The keys that the server signs with; the first one signs.

    Raises:
        CannotStart: there are none.
    """
    try:
        keys = parse_signing_keys(path.read_text(encoding="ascii"))
    except OSError as error:
        raise CannotStart(
            f"signing_key_path: cannot read {path}: {error.strerror}; `synctl generate-config` makes one"
        ) from error
    except ValueError as error:
        raise CannotStart(f"signing_key_path: {path}: {error}") from error
    if not keys:
        raise CannotStart(f"signing_key_path: {path} is empty")
    return keys


class Process:
    """The server, its ports and its log."""

    def __init__(self, config: Config, reactor: Any, keys: list[SigningKey]) -> None:
        self._config = config
        self._reactor = reactor
        self._keys = keys
        self._log_stream = open_log(config.log.file)
        self._clock = Clock(reactor)
        self._metrics = Metrics()
        self._ports: list[Any] = []
        self._sites: list[HttpServer] = []
        self._homeserver: Homeserver | None = None
        self._certificate: ReloadingCertificate | None = None
        self.failure: CannotStart | None = None
        self._slow_work = ThreadPool(0, SLOW_WORK_THREADS, "slow work")
        stream: Any = self._log_stream
        set_up_logging(level=config.log.level, json=config.log.format == "json", stream=stream)
        capture_twisted()

    def start(self) -> None:
        """Build everything, then listen. Called by the reactor."""
        Deferred.fromCoroutine(self._start()).addErrback(self._failed)

    async def _start(self) -> None:
        config = self._config
        began = self._clock.seconds()
        self._slow_work.start()
        self._reactor.addSystemEventTrigger("during", "shutdown", self._slow_work.stop)
        self._certificate = self._read_certificate()
        notifier = Notifier()
        worker = ThreadWorker(self._reactor.callFromThread, readers=config.database.readers)
        try:
            database = open_database(config.database, self._clock, notifier, worker)
        except HearthError as error:
            raise CannotStart(f"database: {error}") from error
        randomness = Randomness()
        self._homeserver = await build_homeserver(
            config,
            database=database,
            clock=self._clock,
            notifier=notifier,
            tasks=Tasks(self._clock),
            randomness=randomness,
            executor=partial(deferToThreadPool, self._reactor, self._slow_work),
            signing_keys=self._keys,
            metrics=self._metrics,
            outside=self._open_ways_out(randomness),
            network=self._reactor,
            shared=open_redis(config, self._reactor, self._clock) if config.redis.enabled else None,
        )
        await self._homeserver.start()
        for listener in config.listeners.listeners:
            self._listen(listener, self._homeserver)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.renew))
        # What exists by now stays: the collector need not look at it again and again. Nor need it look after every
        # 700 new objects, of which a dozen waking polls make as many: cycles are rare here, and may wait for more.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 10, 10)
        _log.info(
            "Hearth is ready",
            server_name=config.server.server_name,
            listening=[where for listener in config.listeners.listeners for where in addresses(listener)],
            took=f"{self._clock.seconds() - began:.2f}s",
        )

    def _listen(self, listener: Listener, homeserver: Homeserver) -> None:
        families = frozenset({"metrics"}) if listener.type == "metrics" else listener.families
        limits = self._config.limits
        site = HttpServer(
            homeserver.router_of(families) if families else homeserver.router,
            self._clock,
            write_access=self._write_access if self._config.log.access else None,
            name=listener.name,
            trusted_proxies=listener.proxies,
            limits=Limits(
                max_connections=limits.max_connections,
                idle_s=limits.idle_connection_timeout_ms / 1000,
                body_idle_s=limits.request_body_timeout_ms / 1000,
            ),
            compress_above=COMPRESS_ABOVE if listener.compresses else None,
            request_id_header=listener.request_id_header,
            metrics=self._metrics,
        )
        try:
            if listener.path is not None:
                self._ports.append(listen_unix(self._reactor, site, path=listener.path, mode=listener.mode))
            else:
                self._ports += listen_tcp(
                    self._reactor,
                    site,
                    port=listener.port or 0,
                    addresses=listener.bind_addresses,
                    certificate=self._certificate if listener.tls else None,
                )
        except CannotListenError as error:
            raise CannotStart(
                f"cannot listen on {' '.join(addresses(listener))}: {error.socketError}"
            ) from error
        self._sites.append(site)

    def _read_certificate(self) -> ReloadingCertificate | None:
        chain, key = self._config.listeners.tls_certificate_path, self._config.listeners.tls_private_key_path
        if chain is None or key is None or not any(one.tls for one in self._config.listeners.listeners):
            return None
        try:
            return ReloadingCertificate(chain, key)
        except (OSError, ValueError, SSL.Error) as error:
            raise CannotStart(f"tls_certificate_path {chain}, tls_private_key_path {key}: {error}") from error

    def _open_ways_out(self, randomness: Randomness) -> Outside:
        try:
            return https_outside(
                self._config, self._reactor, self._clock, randomness, user_agent=f"Hearth/{VERSION}"
            )
        except (OSError, ValueError, crypto.Error) as error:
            raise CannotStart(f"federation_custom_ca_list: {error}") from error

    def _write_access(self, lines: str) -> None:
        self._log_stream.write(lines.encode("utf-8", "replace"))
        self._log_stream.flush()

    def _failed(self, failure: Any) -> None:
        error = failure.value
        if isinstance(error, CannotStart):
            self.failure = error
        else:
            _log.error("cannot start", exc_info=(type(error), error, failure.getTracebackObject()))
            self.failure = CannotStart(f"{type(error).__name__}: {error}")
        self._reactor.stop()

    def renew(self) -> None:
        """Read the certificate and open the log file again: what SIGHUP asks for."""
        if isinstance(self._log_stream, LogFile):
            self._log_stream.reopen()
        if self._certificate is not None:
            self._certificate.reload()
        _log.info("certificate and log file have been renewed")

    def stop(self) -> Deferred[None]:
        """Finish what is in flight, then let the reactor stop: what SIGTERM and SIGINT ask for."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._homeserver is None:
            return
        _log.info("stopping")
        # Awaited, since a Unix socket's lock is only given back once its port is closed.
        for port in self._ports:
            await port.stopListening()
        self._homeserver.begin_stopping()
        patience = self._clock.call_later(self._config.limits.shutdown_timeout_ms / 1000, self._abort)
        for site in self._sites:
            await site.drain()
        if patience.active():
            patience.cancel()
        await self._homeserver.stop()
        _log.info("stopped")

    def _abort(self) -> None:
        for site in self._sites:
            site.abort()


def addresses(listener: Listener) -> list[str]:
    """How people write where a listener listens."""
    if listener.path is not None:
        return [f"unix:{listener.path}"]
    scheme = "https" if listener.tls else "http"
    return [
        f"{scheme}://{f'[{address}]' if ':' in address else address}:{listener.port}"
        for address in listener.bind_addresses
    ]
