"""What the project's modules import, read from their source."""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE = ("daaf_tf", "tools")


@functools.cache
def modules():
    """Return {dotted name: path} of every module of the package and of tools/."""
    found = {}
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def imported_names(module):
    """Return every (module, name) that a module imports, in functions too; name may be None."""
    names = set()
    for node in ast.walk(parse(modules()[module])):
        if isinstance(node, ast.Import):
            names |= {(alias.name, None) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write imports in full, not relative"
            names |= {(node.module, alias.name) for alias in node.names}
    return names


@functools.cache
def imports(module):
    """Return the dotted names of the modules that a module imports, our own and others."""
    found = set()
    for source, name in imported_names(module):
        if (
            f"tools.{source}" in modules()
        ):  # a program of tools/ sees its neighbours without a prefix
            source = f"tools.{source}"
        found.add(f"{source}.{name}" if f"{source}.{name}" in modules() else source)
    return found


def own_imports(module):
    """Return those imports of a module that are the project's own."""
    return imports(module) & set(modules())


def foreign_imports(module):
    """Return those imports of a module that are not the project's own."""
    return imports(module) - set(modules())


def reachable(module):
    """Return all modules of the project that importing a module brings in, itself included."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += own_imports(name)
        waiting += [parent for parent in [name.rpartition(".")[0]] if parent in modules()]
    return seen
