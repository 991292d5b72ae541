"""ALFWorld: household tasks in text."""

from layergym.envs.alfworld.env import ALFWorld

__all__ = ["ALFWorld"]
