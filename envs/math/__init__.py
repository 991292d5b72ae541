"""Mathematics: questions with one right answer, graded by math-verify."""

from layergym.envs.math.env import Math

__all__ = ["Math"]
