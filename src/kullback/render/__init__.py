"""Documents as text, HTML, JSON; figures as SVG. Knows documents only."""
