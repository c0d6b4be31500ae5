"""What people and operators ask for: access, a decision, and what to do with a grant."""
