"""What a person reads of a fine-tuned model: predictions, tables, pictures."""
