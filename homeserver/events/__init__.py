"""The pure core: what the specification decides, with no reactor, database, clock or randomness."""
