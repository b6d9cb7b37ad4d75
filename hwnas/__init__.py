"""What is *searched*: spaces, supernets, gradient and discrete search, training, export, report."""
