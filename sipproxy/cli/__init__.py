"""The commands that speak to a running proxy, or read what one has left."""
