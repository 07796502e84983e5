"""Tables: files, columns, cells and rows as examples, and the output of predictions."""
