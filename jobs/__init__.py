"""How and when things run: the list of stages (`pipeline`, read it first), the strict runner, the command line."""
