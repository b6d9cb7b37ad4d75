"""What the tests and benchmarks of far devices share; nothing in here is imported by the code under test."""
