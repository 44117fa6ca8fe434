"""What clients follow: the log as one user sees it, over long-poll, sliding sync and WebSocket."""
