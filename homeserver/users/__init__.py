"""Local accounts: who they are, how they prove it, their devices and tokens, and what they keep on the
server.
"""
