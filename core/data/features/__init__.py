"""Features of bars and order books, each with its warm-up."""
