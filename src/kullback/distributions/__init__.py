"""Layer 3: distributions in NumPy float64, as far as measuring needs them.

NumPyro's vocabulary, kept exactly: `interop` turns other libraries' objects into these.
"""
