"""What `GiGPOTrainer` is made of: the loss by pass, float32 masters, layers, logs, checkpoints."""
