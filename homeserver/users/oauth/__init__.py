"""The built-in OAuth 2.0 server: clients, grants, tokens and logged-in browsers."""
