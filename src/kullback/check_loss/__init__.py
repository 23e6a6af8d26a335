"""Which divergence a loss estimates, and which its gradient descends."""
