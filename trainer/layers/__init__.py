"""Which weights train: selection, LoRA, masks, and the delta that a run leaves behind."""
