"""Acquisition: granules fetched from where their providers keep them, and only those that are lacking.

`service.acquire` does it all; `offers` says which of our sources can be had from whom. The client libraries of the
providers search, log in and order; the bytes come through `download` alone.
"""
