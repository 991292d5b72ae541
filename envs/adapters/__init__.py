"""Environments of other libraries as `TextEnv`s: one file and one extra each.

What is downloaded (games, servers' answers) is data: nothing here unpickles or evaluates it.
"""
