"""What a stage asks for on its fallback page, for clients that do not know the stage.

Spec: https://spec.matrix.org/v1.19/client-server-api/#fallback
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FormField:
    """Something to fill in. Its `name` is the key of the stage's `auth` object that it becomes."""

    name: str
    label: str
    type: str = "text"


@dataclass(frozen=True, slots=True)
class Form:
    """A form: what it says, documents it links to, fields, and the button's words.

    `script_url` is loaded beside it and draws into an element of `widget_class` with `widget_key` (a
    captcha).
    """

    text: str
    button: str
    links: Sequence[tuple[str, str]] = ()
    fields: Sequence[FormField] = ()
    script_url: str | None = None
    widget_class: str = ""
    widget_key: str = ""
