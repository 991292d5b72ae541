"""From played episodes to an advantage per turn."""
