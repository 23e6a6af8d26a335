"""Layer 8: one algorithm a file, and the drivers that start, restart and measure anew."""
