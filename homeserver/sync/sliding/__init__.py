"""Simplified sliding sync (MSC4186): one engine for both dialects that clients speak.

Spec: https://github.com/matrix-org/matrix-spec-proposals/pull/4186
"""
