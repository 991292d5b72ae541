"""One `Report` for every reader: terminal, HTML, Markdown, PNG."""
