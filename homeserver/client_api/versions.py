"""What this server speaks: releases of the specification and features that clients look for by name."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from homeserver.http.endpoint import Auth, endpoint
from homeserver.http.responses import RawJson

RELEASES = (
    *("r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"),
    *(f"v1.{minor}" for minor in range(1, 20)),
)

RELEASED_FEATURES = (
    "org.matrix.e2e_cross_signing",
    "org.matrix.msc2285.stable",
    "org.matrix.msc2432",
    "org.matrix.msc3030",
    "org.matrix.msc3030.stable",
    "org.matrix.msc3440",
    "org.matrix.msc3440.stable",
    "org.matrix.msc3715",
    "org.matrix.msc3715.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3773",
    "org.matrix.msc3827.stable",
    "org.matrix.msc3856",
    "org.matrix.msc3856.stable",
    "org.matrix.msc3882",
    "org.matrix.msc3916.stable",
    "org.matrix.msc3952_intentional_mentions",
    "org.matrix.msc3981",
    "org.matrix.msc4222",
    "org.matrix.msc4380",
    "org.matrix.msc4380.stable",
    "fi.mau.msc2246",
    "fi.mau.msc2659",
    "fi.mau.msc2659.stable",
    "uk.half-shot.msc2666",
    "uk.half-shot.msc2666.mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
    "uk.timedout.msc4323",
)
"""Flags of proposals that a release has taken up: clients ask for the flag where the release would do."""


class VersionEndpoints:
    """Says what is spoken.

    `features` are flags of proposals beyond the releases that this server offers; `forced_encryption` names
    the presets of new rooms (`public`, `private`, `trusted_private`) that it always encrypts.
    """

    def __init__(self, *, features: Iterable[str] = (), forced_encryption: Iterable[str] = ()) -> None:
        forced = frozenset(forced_encryption)
        flags = dict.fromkeys((*RELEASED_FEATURES, *features), True)
        for preset in ("public", "private", "trusted_private"):
            flags[f"io.element.e2ee_forced.{preset}"] = preset in forced
        self._answer = RawJson(msgspec.json.encode({"versions": RELEASES, "unstable_features": flags}))

    @endpoint("GET", "/_matrix/client/versions", auth=Auth.NONE)
    async def get_versions(self) -> RawJson:
        """The releases and features that this server speaks: the same for everybody.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
        """
        return self._answer
