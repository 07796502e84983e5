"""Downstream tasks: rows of files → examples → items → packed batches."""
