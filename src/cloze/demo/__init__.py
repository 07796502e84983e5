"""A model in the browser. Needs the extra ``demo``."""
