"""Push: telling users of what their rules notify them of, wherever their clients are."""
