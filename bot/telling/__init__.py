"""What is said, in what words and order, and how it is heard without a record."""
