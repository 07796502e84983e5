"""Reports of runs for people: predictions, tables and figures."""
