"""Whole experiments, by one command: ``scripts/results`` makes docs/results.md.

Each of them runs the command line as a user would, in a home of its own, keeps every answer as a file, and can be
interrupted: what was answered is not asked again.
"""
