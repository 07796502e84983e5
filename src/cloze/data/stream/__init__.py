"""Rows of any number from files and pipes, and what is made of them, in bounded memory."""
