"""Which divergence a loss has as its value, and which as its gradient."""
