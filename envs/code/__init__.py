"""Code: programming problems, judged in a sandbox."""

from layergym.envs.code.env import Code

__all__ = ["Code"]
