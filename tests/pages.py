"""Notebooks small enough to see in a test."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = 'run = ""  # id of the run\nas_of = ""  # day of the run'
FINISH = """
import json, os, pathlib
declared = {"run": run, "as_of": as_of, "remote": os.environ["SPARK_REMOTE"]}
pathlib.Path(os.environ["ZEROMARGIN_RESULT"]).write_text(json.dumps(declared))
"""


def page(path: Path, *cells: str, parameters: str = PARAMETERS, title: str = "# A page\n\nWhat it is for.") -> Path:
    """Writes a notebook with a title, a parameters cell and `cells`; returns its path."""
    tagged = new_code_cell(parameters)
    tagged.metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
    notebook.cells = [new_markdown_cell(title), tagged, *map(new_code_cell, cells)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
