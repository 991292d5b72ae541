"""Panels played: from episodes to an `EvalResult`."""
