"""How q is fitted, one file a route, and the table that chooses."""
