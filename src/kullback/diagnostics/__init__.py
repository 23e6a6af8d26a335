"""Layer 9: where a divergence is paid, and which parts of p a q covers."""
