"""A file of which nothing is known: a draft of its entry in sources.yml, for somebody who knows it to correct.

Guessed are the delimiter, the encoding, which column is which (by its name, else by its values), how times and numbers are written, and how a
cancellation is told. The draft is tried on its own file; what came of that, and what could not be guessed, stands in it as remarks.
"""

from lakehouse.ingest.guessing.draft import draft

__all__ = ["draft"]
