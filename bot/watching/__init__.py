"""What needs a person now, said until it is over; how the bot is doing."""
