"""Asking and telling other servers."""
