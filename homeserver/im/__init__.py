"""The IM facade: friends, conversations, groups and moments, all of them rooms."""
