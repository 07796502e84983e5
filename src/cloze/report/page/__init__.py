"""The page of a run: curves, figures, fillings, scores and data in one HTML file that needs no network."""
