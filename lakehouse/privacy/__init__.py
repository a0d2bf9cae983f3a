"""People: the vault that exchanges customer numbers for keys, and the secrets that it and the signatures rest on.

Importing it imports no engine: serving looks numbers up through it.
"""
