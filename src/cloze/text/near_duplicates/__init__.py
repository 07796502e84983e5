"""The search for documents that are nearly the same: MinHash signatures and locality-sensitive hashing."""
