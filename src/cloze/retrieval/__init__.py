"""What is found for a query: exact search, ranked lists of documents, and their scores."""
