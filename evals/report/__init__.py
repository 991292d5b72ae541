"""Reports made from run folders, sweep folders, profiles and published tables.

`build.py` reads folders and makes one pure `Report` (`model.py`), `write.py` shows it on the
terminal or writes it as JSON, Markdown, HTML or PNG. `study.py` finds the studies that have a
section in it.
"""
