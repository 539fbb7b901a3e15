"""``python -m smcatalog``."""

from smcatalog.cli import main

main()
