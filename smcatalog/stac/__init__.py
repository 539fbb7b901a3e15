"""STAC: items and collections as values, and pgstac, which keeps them in the database."""
