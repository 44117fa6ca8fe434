"""Rooms: their live state in memory, the only writer of their events, and what users do in them."""
