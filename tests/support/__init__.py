"""What the tests of several packages share: fakes, contract classes, small worlds to search in.

A new space, method, strategy or data source inherits the contract of its kind from here.
"""
