"""Rows of tables: their files, columns and cells, the examples that they are, and where predictions are written."""
