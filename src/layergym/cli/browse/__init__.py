"""A page to browse runs in: what it shows (`library`), how it is served, and as one file.

Everything is read from folders, whenever it is asked for. `assets/` is the page itself.
"""
