"""Application services: bridges and bots that work beside the server, and act as users of their own."""
