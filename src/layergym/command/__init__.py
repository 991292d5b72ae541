"""What command lines are made of: output, options that commands share, kinds of values."""
