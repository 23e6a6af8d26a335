"""Two tables compared: columns, all together, profiles."""
