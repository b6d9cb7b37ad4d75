"""What the tests of several packages share: fakes, contract classes, small worlds to search in.

Shipped, so that who adds a space, a method or a strategy can run the same contracts on it. Nothing
in here is imported by the code under test.
"""
