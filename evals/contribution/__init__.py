"""From scores to contributions of layers, and the files that hold them."""
