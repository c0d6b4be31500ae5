"""How approved access comes to be: on which server, in whose hands, by whose clock."""
