"""Which documents and lines of raw text are left out of a corpus, by rules that are stated in the configuration."""
