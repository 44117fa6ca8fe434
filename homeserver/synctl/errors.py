"""The one refusal of this command."""

from __future__ import annotations


class Refused(Exception):
    """One line that says what stands in the way; the command ends with an error."""
