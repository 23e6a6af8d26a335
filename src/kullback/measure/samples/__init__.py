"""Divergences between samples: what rows stand for, what they show, and how sure that is."""
