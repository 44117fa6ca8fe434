"""The operator's command: starts, stops and asks a server that runs in the background."""
