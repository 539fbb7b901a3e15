"""Values that everything else stands on: time, grids, variables, encoding, errors."""
