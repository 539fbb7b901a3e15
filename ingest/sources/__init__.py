"""Readers of gridded sources; none knows another."""
