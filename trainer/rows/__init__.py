"""From turns to rows of tokens, passes over them, and log-probabilities."""
