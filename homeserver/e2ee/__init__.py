"""End-to-end encryption, as far as a server has a part in it: handing on public keys, messages and sealed boxes."""
