"""The simulated world: a landscape, its weather and water, and how sensors would see them."""
