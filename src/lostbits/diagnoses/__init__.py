"""The diagnoses: per site, per layer, per network, and the findings drawn from them."""
