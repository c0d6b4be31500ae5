"""How fast the product is: against raw SQL, against the usual ways, and against a live peer."""
