"""The outbound HTTP gate: every request that Hearth makes of somebody else's machine goes through here.

Addresses are judged after DNS and again at every redirect, certificates are verified, and no answer is read
beyond its limits of bytes and time (DESIGN 7).
"""
