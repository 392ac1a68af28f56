"""Studies: questions answered by many simulations."""
