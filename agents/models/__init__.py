"""Models by name, how they are loaded, and the sampler that decodes with them."""
