"""How a divergence is measured, one method a file, the table that chooses on top."""
