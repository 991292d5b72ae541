"""Supervised start: demonstrations and fine-tuning on them."""
