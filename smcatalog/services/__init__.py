"""What people and workers ask for: plan, fit, produce, publish, validate."""
