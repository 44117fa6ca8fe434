"""Encryption, as clients see it."""
