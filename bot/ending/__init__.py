"""How access ends: begun, closed, cleaned up and proven, also when much else is broken."""
