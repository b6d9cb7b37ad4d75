"""The commands of hwnas."""
