"""What every notebook of this repository keeps to, so that it can be read like a page and run like a program.

`python -m jobs.contract notebooks/*.ipynb` lists what is broken and ends with 1 if anything is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from jobs.parameters import SECRET

CODE_LINES = 40


def broken(path: Path) -> list[str]:
    """What is wrong with the notebook, one sentence each; empty where nothing is."""
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except Exception as error:
        return [f"is not a notebook that can be read: {error}"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [*_title(notebook), *_outputs(code), *_parameters(code), *_definitions(code), *_length(code), *_result(path, code)]


def _title(notebook: NotebookNode) -> Iterable[str]:
    first = notebook.cells[0] if notebook.cells else None
    if first is None or first.cell_type != "markdown" or not first.source.startswith("# "):
        yield "its first cell is not a title: expected a markdown cell that begins with '# '"
    elif len(first.source.strip().splitlines()) < 2:
        yield "its title cell does not say what it is for: expected a paragraph below the title"


def _outputs(code: list[NotebookNode]) -> Iterable[str]:
    for cell in code:
        if cell.outputs or cell.execution_count is not None:
            yield f"cell {cell.id} holds outputs or an execution count: clear all outputs before saving"


def _parameters(code: list[NotebookNode]) -> Iterable[str]:
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        yield f"it has {len(tagged)} cells tagged parameters, expected one"
        return
    if code[0] is not tagged[0]:
        yield "its parameters cell is not its first code cell"
    for line in filter(str.strip, tagged[0].source.splitlines()):
        yield from _parameter(line)


def _parameter(line: str) -> Iterable[str]:
    body = ast.parse(line).body if _parses(line) else []
    found = body[0] if len(body) == 1 else None
    targets = found.targets if isinstance(found, ast.Assign) else [found.target] if isinstance(found, ast.AnnAssign) else []
    value = found.value if isinstance(found, ast.Assign | ast.AnnAssign) else None
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
        yield f"parameters line {line!r} is not one assignment: expected name = default  # what it is"
        return
    try:
        ast.literal_eval(value)
    except ValueError:
        yield f"parameter {targets[0].id} has a default that is not a literal"
    if "#" not in line[value.end_col_offset :] or not line[value.end_col_offset :].split("#", 1)[1].strip():
        yield f"parameter {targets[0].id} has no comment: it becomes the help"
    if SECRET.search(targets[0].id):
        yield f"parameter {targets[0].id} looks like a secret: secrets come from the environment"


def _definitions(code: list[NotebookNode]) -> Iterable[str]:
    for cell in code:
        if not _parses(cell.source):
            yield f"cell {cell.id} is not plain Python: no magics, no shell, no syntax errors"
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
                name = getattr(node, "name", "a lambda")
                yield f"cell {cell.id} defines {name}: functions and classes belong into the library"


def _length(code: list[NotebookNode]) -> Iterable[str]:
    lines = sum(1 for cell in code for line in cell.source.splitlines() if line.strip() and not line.strip().startswith("#"))
    if lines > CODE_LINES:
        yield f"it has {lines} lines of code, expected at most {CODE_LINES}"


def _result(path: Path, code: list[NotebookNode]) -> Iterable[str]:
    """A stage's notebook ends with its declared result; one that is opened by people alone has none."""
    from jobs.pipeline import stage_names

    if path.stem in stage_names() and not (code and code[-1].source.strip().splitlines()[-1:] and "lake.finish(" in code[-1].source):
        yield "its last cell does not declare a result: expected lake.finish(…)"


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def main(names: list[str]) -> int:
    """Prints what is broken; 0 if nothing is, 1 otherwise, 2 where no notebook was named."""
    if not names:
        print("no notebook was named. Usage: python -m jobs.contract notebooks/*.ipynb", file=sys.stderr)
        return 2
    found = [f"{name}: {sentence}" for name in names for sentence in broken(Path(name))]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
