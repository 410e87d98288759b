"""Which experts the router chose, counted where it happens."""
