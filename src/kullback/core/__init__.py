"""Layer 0: errors, numerics, precision, randomness. Knows nothing of divergences."""
