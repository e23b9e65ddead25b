"""BUILD says of every module what its source says: one target, its file, its imports."""

import ast

import pytest
from source_imports import ROOT, modules, own_imports, parse

KINDS = ("py_library", "py_binary")


def target_name(module):
    """Return the name of a module's target: daaf_tf.data.records is data_records."""
    return module.replace("daaf_tf.", "").replace(".", "_")


def is_program(module):
    """Tell whether a module is run, not imported."""
    guarded = any(
        isinstance(n, ast.If) and "__main__" in ast.dump(n.test)
        for n in parse(modules()[module]).body
    )
    return guarded and not any(module in own_imports(other) for other in modules())


def expected_target(module):
    """Return what BUILD must say of a module.

    Every module of the package needs the package's own file, which Python runs first.
    """
    imported = own_imports(module) | ({"daaf_tf"} if module.startswith("daaf_tf.") else set())
    return {
        "kind": "py_binary" if is_program(module) else "py_library",
        "name": target_name(module),
        "srcs": [modules()[module].relative_to(ROOT).as_posix()],
        "deps": sorted(":" + target_name(name) for name in imported),
    }


def format_target(target):
    """Return a target as it stands in BUILD."""
    source = target["srcs"][0]
    lines = [f"{target['kind']}(", f'    name = "{target["name"]}",', f'    srcs = ["{source}"],']
    if target["kind"] == "py_binary":
        lines.append(f'    main = "{source}",')
    if len(target["deps"]) == 1:
        lines.append(f'    deps = ["{target["deps"][0]}"],')
    elif target["deps"]:
        lines += ["    deps = [", *(f'        "{name}",' for name in target["deps"]), "    ],"]
    return "\n".join([*lines, ")"])


def read_targets():
    """Return {name: target} of the BUILD file; its syntax is also Python's."""
    targets = {}
    for node in ast.parse((ROOT / "BUILD").read_text(encoding="utf-8")).body:
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and call.func.id in KINDS:
            said = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
            assert said["name"] not in targets, f"BUILD names {said['name']} twice"
            said = {"deps": [], **said, "kind": call.func.id}
            targets[said["name"]] = {key: said[key] for key in ("kind", "name", "srcs", "deps")}
    return targets


def test_targets_have_names_of_their_own():
    assert len({target_name(module) for module in modules()}) == len(modules())


def test_build_says_what_the_sources_say():
    targets = read_targets()
    expected = {target_name(module): expected_target(module) for module in modules()}
    wrong = [format_target(t) for name, t in expected.items() if targets.get(name) != t]
    surplus = sorted(set(targets) - set(expected))
    message = "\n\n".join(["", *wrong]) + "".join(f"\n\nno module: {name}" for name in surplus)
    if wrong or surplus:
        pytest.fail(f"BUILD must say (in place of what it says):{message}", pytrace=False)
