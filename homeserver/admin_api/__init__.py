"""The administration API: declared endpoints, in the shapes that existing tools for homeservers expect."""
