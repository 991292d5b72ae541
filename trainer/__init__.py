"""The trainer: credit, packing, layer targeting, GiGPOTrainer."""
