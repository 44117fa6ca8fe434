"""What servers say to one another: formats and decisions of the federation API, without network or clock."""
