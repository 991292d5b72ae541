"""Fixed panels, scores with intervals, layer contributions, reports."""
