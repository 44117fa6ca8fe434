"""Presence: who is online, away or offline, and what they say of themselves."""
