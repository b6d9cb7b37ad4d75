"""Memory of a network in a fresh process: what lives when, what the arena makes of it, what a device adds."""
