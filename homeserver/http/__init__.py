"""HTTP in both directions: declared endpoints and the server under them, and the guarded client."""
