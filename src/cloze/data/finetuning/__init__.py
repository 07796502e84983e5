"""Fine-tuning: rows of files → examples → items → packed batches."""
