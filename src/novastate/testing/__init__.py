"""Kits for testing control planes: strategies, conformance of drivers and stores, flows stopped anywhere.

Import what you need by its module: ``novastate.testing.strategies`` needs hypothesis, the others no test framework.
"""
