"""Speaking with other servers: what is said (`wire`), asking and telling (`outbound`), being asked (`inbound`)."""
