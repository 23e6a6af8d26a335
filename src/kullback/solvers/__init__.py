"""Layer 1: integrate, sum and minimise functions. Knows nothing of divergences."""
