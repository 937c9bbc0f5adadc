"""Small parts that are trained in place of a whole model, one technique a file."""
