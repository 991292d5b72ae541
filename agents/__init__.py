"""Who acts: prompts, parsing, samplers, rollouts."""
