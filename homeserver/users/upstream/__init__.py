"""Logging in through an upstream OpenID Connect provider."""
