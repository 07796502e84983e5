"""The page of a run: curves, figures, sample predictions, scores and data in one HTML file that needs no network."""
