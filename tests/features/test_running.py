"""The server as a process: how it begins, what it weighs, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.process import ServerProcess, free_port

# Of processor time: on a machine that does nothing else, that is how long it takes.
READY_WITHIN_S = 3.0
MOST_MEMORY_MB = 90
API = "/_matrix/client/v3"


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def processor_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_it_is_ready_soon_and_weighs_little(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    server.stop()
    server.start()
    try:
        assert processor_s(server.pid) <= READY_WITHIN_S
        assert memory_mb(server.pid) <= MOST_MEMORY_MB
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_poll_in_flight_is_answered_before_the_end(tmp_path: Path, number: signal.Signals) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    process = server._process
    assert process is not None
    token = server.register("alice")
    since = server.request("GET", f"{API}/sync", token=token)[1]["next_batch"]
    answers: list[tuple[int, Any]] = []
    poll = Thread(
        target=lambda: answers.append(
            server.request("GET", f"{API}/sync?since={since}&timeout=30000", token=token)
        )
    )
    poll.start()
    # The poll has begun once a request that was made after it has been answered.
    server.request("GET", f"{API}/account/whoami", token=token)
    process.send_signal(number)
    assert process.wait(10) == 0, server.log()
    poll.join(10)
    assert answers
    assert answers[0][0] == 200
    server.start()
    assert server.request("GET", f"{API}/account/whoami", token=token)[0] == 200
    server.stop()


def test_a_taken_port_is_refused_in_one_line(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "homeserver.app", "-c", str(server.configuration_file)],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr == f"hearth: port {server.port} on 127.0.0.1 is taken by another program\n"
    assert not (tmp_path / "homeserver.db").exists()


def make_certificate(directory: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def served_name(port: int) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    found = x509.load_pem_x509_certificate(pem.encode()).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)


def test_certificate_and_log_are_renewed(tmp_path: Path) -> None:
    make_certificate(tmp_path, "before")
    plain, secure = free_port(), free_port()
    log = tmp_path / "log" / "hearth.log"
    server = ServerProcess(tmp_path)
    content = {
        **yaml.safe_load(server.configuration_file.read_text()),
        "listeners": [
            {"port": plain, "bind_addresses": ["127.0.0.1"]},
            {"port": secure, "bind_addresses": ["127.0.0.1"], "tls": True},
        ],
        "tls_certificate_path": "cert.pem",
        "tls_private_key_path": "key.pem",
        "log": {"file": "log/hearth.log", "format": "json"},
    }
    server.configuration_file.write_text(yaml.safe_dump(content))
    server.port = plain
    server.start()
    try:
        assert served_name(secure) == "before"
        first = json.loads(log.read_text().splitlines()[0])
        assert first["event"] == "Hearth is ready"
        make_certificate(tmp_path, "after")
        rotated = log.rename(tmp_path / "log" / "hearth.log.1")
        assert server._process is not None
        server._process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while not log.exists() or "renewed" not in log.read_text():
            assert time.monotonic() < until
        assert served_name(secure) == "after"
        assert "ready" in rotated.read_text()
    finally:
        server.stop()
