"""Expressions such as "normal(0, sd=2)": parsed, never evaluated, and written."""
