"""KL from two samples: coverage, false alarms, size and the peers."""
