"""Hidden states of texts of any number, computed and written part by part, in bounded memory."""
