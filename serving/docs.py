"""/docs: the API explained on one page, made from its own OpenAPI document. It needs nothing from the internet.

FastAPI's own page loads its script from a CDN, which a shop's server room may not reach.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import cast

Tree = Mapping[str, object]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid var(--line); margin-top: 2rem; padding-top: 1rem; }
code, pre, textarea { font: 14px/1.45 ui-monospace, monospace; }
pre, textarea { background: var(--soft); padding: .75rem; border-radius: .4rem; overflow-x: auto; }
textarea { width: 100%; box-sizing: border-box; border: 1px solid var(--line); color: inherit; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
.method { background: var(--soft); border-radius: .3rem; padding: .1rem .5rem; }
"""

_SCRIPT = """
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", async event => {
  event.preventDefault();
  const out = form.querySelector("pre"), body = form.querySelector("textarea"), path = form.querySelector("input");
  try {
    const answer = await fetch(path ? path.value : form.dataset.path, body
      ? {method: "POST", headers: {"content-type": "application/json"}, body: body.value} : {});
    const text = await answer.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch {}
    out.textContent = answer.status + " " + answer.statusText + "\\n" + shown;
  } catch (error) { out.textContent = String(error); }
});
"""


def page(openapi: Tree, problems: str) -> str:
    """The page. `problems` lists the kinds of problem documents, one a line: status, kind, explanation."""
    info = _tree(openapi["info"])
    schemas = _tree(_tree(openapi.get("components", {})).get("schemas", {}))
    sections = "".join(
        _operation(schemas, path, method, _tree(operation))
        for path, methods in _tree(openapi["paths"]).items()
        for method, operation in _tree(methods).items()
    )
    title = escape(str(info["title"]))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title} {escape(str(info['version']))}</h1>{_paragraphs(str(info.get('description', '')))}"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>'
        f"{sections}<section><h2>Problems</h2><p>Every error is <code>application/problem+json</code> (RFC 9457), its <code>type</code> "
        f"one of these.</p>{_problems(problems)}</section><script>{_SCRIPT}</script></html>"
    )


def _operation(schemas: Tree, path: str, method: str, operation: Tree) -> str:
    asked = _json_schema(_tree(operation.get("requestBody", {})))
    answered = _json_schema(_tree(_tree(operation["responses"]).get("200", {})))
    parts = [
        f'<section id="{escape(str(operation["operationId"]))}">',
        f'<h2><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h2>',
        f"<p><strong>{escape(str(operation.get('summary', '')))}</strong></p>{_paragraphs(str(operation.get('description', '')))}",
    ]
    body = json.dumps(_example(schemas, asked, required_only=True)) if asked else ""
    if asked:
        parts.append(f"<h3>Asked</h3>{_fields(schemas, asked)}")
        command = f"curl -s localhost:8000{path} -H 'content-type: application/json' -d '{body}'"
    else:
        command = f"curl -s localhost:8000{path}"
    parts.append(f"<pre>{escape(command)}</pre>")
    entry = f'<textarea rows="3" aria-label="body">{escape(body)}</textarea>' if asked else ""
    if "{" in path:
        entry = f'<input aria-label="path" size="40" value="{escape(path)}">'
    parts.append(f'<form data-path="{escape(path)}">{entry}<p><button>Ask this server</button></p><pre aria-live="polite"></pre></form>')
    if answered:
        example = json.dumps(_example(schemas, answered), indent=2, ensure_ascii=False)
        parts.append(f"<h3>Answered</h3>{_fields(schemas, answered)}<pre>{escape(example)}</pre>")
    return "".join(parts) + "</section>"


def _fields(schemas: Tree, schema: Tree) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(text)}</td></tr>"
        for name, kind, text in _rows(schemas, schema)
    )
    return f"<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>{rows}</table>"


def _rows(schemas: Tree, schema: Tree, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    schema = _resolved(schemas, schema)
    required = cast(list[str], schema.get("required", []))
    for name, field in _tree(schema.get("properties", {})).items():
        whole = _tree(field)
        inner = _resolved(schemas, whole)
        items = _resolved(schemas, _tree(inner.get("items", {})))
        text = str(whole.get("description", inner.get("description", "")))
        if name not in required and "default" in whole and whole["default"] is not None:
            text += f" Default: {json.dumps(whole['default'])}."
        if "minimum" in inner and "maximum" in inner:
            text += f" From {inner['minimum']} to {inner['maximum']}."
        if "enum" in inner:
            text += f" One of: {', '.join(map(str, cast(list[object], inner['enum'])))}."
        yield prefix + name, _kind(schemas, whole), text.strip()
        if "properties" in inner:
            yield from _rows(schemas, inner, f"{prefix}{name}.")
        if "properties" in items:
            yield from _rows(schemas, items, f"{prefix}{name}[].")


def _kind(schemas: Tree, schema: Tree) -> str:
    options = cast(list[Tree], schema.get("anyOf", []))
    if options:
        return " or ".join(_kind(schemas, option) for option in options)
    schema = _resolved(schemas, schema)
    kind = str(schema.get("type", "object"))
    if kind == "array":
        return f"list of {_kind(schemas, _tree(schema.get('items', {})))}"
    return str(schema.get("format", kind))


def _example(schemas: Tree, schema: Tree, required_only: bool = False) -> object:
    examples = cast(list[object], schema.get("examples", []))
    if examples:
        return examples[0]
    schema = _resolved(schemas, schema)
    if "properties" in schema:
        required = cast(list[str], schema.get("required", []))
        fields = _tree(schema["properties"]).items()
        shown = [(name, _tree(field)) for name, field in fields if not required_only or name in required or "examples" in _tree(field)]
        return {name: _example(schemas, field, required_only) for name, field in shown}
    if "items" in schema:
        return [_example(schemas, _tree(schema["items"]))]
    examples = cast(list[object], schema.get("examples", []))
    return examples[0] if examples else schema.get("default")


def _resolved(schemas: Tree, schema: Tree) -> Tree:
    """The schema behind a reference; of alternatives, the first that is not null."""
    if "$ref" in schema:
        return _tree(schemas[str(schema["$ref"]).rsplit("/", 1)[-1]])
    for option in cast(list[Tree], schema.get("anyOf", [])):
        if option.get("type") != "null":
            return {**_resolved(schemas, option), **{key: value for key, value in schema.items() if key != "anyOf"}}
    return schema


def _json_schema(part: Tree) -> Tree:
    content = _tree(part.get("content", {}))
    return _tree(_tree(content.get("application/json", {})).get("schema", {}))


def _problems(text: str) -> str:
    rows = []
    for line in text.strip().splitlines():
        status, kind, meaning = line.split(maxsplit=2)
        rows.append(f'<tr id="{escape(kind)}"><td>{escape(status)}</td><td><code>{escape(kind)}</code></td><td>{escape(meaning)}</td></tr>')
    return f"<table><tr><th>Status</th><th>Kind</th><th>Meaning</th></tr>{''.join(rows)}</table>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())


def _tree(value: object) -> Tree:
    assert isinstance(value, Mapping), value
    return value
