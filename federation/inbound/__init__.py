"""Answering other servers."""
