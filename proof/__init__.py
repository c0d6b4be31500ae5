"""What must hold, checked from outside: for the end of any test, and of any case of the benchmark."""
