"""Who may what: from facts alone, and what is told and noted of a no."""
