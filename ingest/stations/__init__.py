"""Readers of station archives."""
