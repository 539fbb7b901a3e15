"""The HTTP side: STAC API and the maps' files."""
