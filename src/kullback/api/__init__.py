"""Layer 11: the verbs. Each coerces what the user gave, once, and calls one thing per layer."""
