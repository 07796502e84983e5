"""Pre-train a BERT from raw text and fine-tune it on anything."""

__version__ = "0.1.0"
