"""smcatalog."""
