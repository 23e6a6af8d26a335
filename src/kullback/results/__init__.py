"""Layer 6: everything that comes out. Frozen, printable, serialisable; computes nothing."""
