"""A name has one meaning: no class or type alias is defined twice in the packages that are installed."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("targets", "profilers", "lut", "hwnas")


def defined_names(tree: ast.Module) -> set[str]:
    """Public classes, and module variables that are written like a type."""
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    aliases = {t.id for t in targets if isinstance(t, ast.Name)}
    written_like_types = {name for name in aliases if name[0].isupper() and name != name.upper()}
    return {name for name in classes | written_like_types if not name.startswith("_")}


def test_the_walk_finds_what_it_looks_for() -> None:
    tree = ast.parse(
        "class A: pass\nclass _B: pass\nRow = tuple[int, int]\nLIMIT = 3\nlog = print\nT = TypeVar('T')"
    )
    assert defined_names(tree) == {"A", "Row"}


def test_no_name_is_defined_twice() -> None:
    homes = defaultdict[str, list[str]](list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in defined_names(ast.parse(path.read_text(encoding="utf-8"))):
                homes[name].append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}
