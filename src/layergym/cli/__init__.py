"""One module a command: `EXAMPLES`, `add_arguments(parser)`, `run(args)`.

Heavy libraries are imported inside `run`, so that `--help` answers at once.
"""
