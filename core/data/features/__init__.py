"""Features that are computed from bars and order books, each with its warm-up."""
