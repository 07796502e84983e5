"""A model in the browser: what it says of what a person types. Needs the extra ``demo``."""
