"""What docs/recipes.md says is what the flagfiles say, and its commands are ones that run."""

from __future__ import annotations

import re
import shlex

import pytest
from source_imports import ROOT, modules
from test_configs import FLAGFILES, parse
from test_readme import help_of, module_of

from daaf_tf.config import flat

TEXT = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines()]
PUBLISHED = re.compile(r"mAP (\d+\.\d+),\s+rank-1 (\d+\.\d+)")


def cells():
    """Return {flagfile stem: the other cells of its row} of the table of figures."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TEXT.splitlines()
        if re.match(r"\| `\w+_(daaf|baseline)`", line)
    ]
    return {stem: row[1:] for row in rows for stem in re.findall(r"`(\w+)`", row[0])}


def figures(path):
    """Return the "mAP (rank-1)" that the head of a flagfile names: its own, and the baseline's."""
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    text = re.sub(r"\n#\s{2,}", " ", "\n".join(head))
    line = next(line for line in text.splitlines() if line.startswith("# Expected result"))
    baseline = "\n".join(line for line in text.splitlines() if line.startswith("# Baseline"))
    return [
        [f"{mean_ap} ({rank1})" for mean_ap, rank1 in PUBLISHED.findall(part)]
        for part in (line, baseline)
    ]


def section(title):
    return TEXT.partition(f"\n## {title}")[2].partition("\n## ")[0]


def test_every_recipe_has_a_row():
    recipes = {path.stem for path in FLAGFILES if not path.stem.startswith("variant_")}
    assert set(cells()) | {"quickstart", "synthetic_daaf"} == recipes


@pytest.mark.parametrize("stem", cells())
def test_a_row_has_the_figures_of_its_flagfile(stem):
    own, of_baseline = figures(ROOT / f"configs/{stem}.flags")
    published, ten_crops, baseline = cells()[stem]
    assert [cell for cell in (published, ten_crops) if cell] == (own or ["none"])
    assert not of_baseline or of_baseline == [baseline]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[1:4]))
def test_a_command_runs_a_program_with_flags_that_it_has(words):
    module, arguments = module_of(words)
    assert words[0] == "python"
    assert module in modules()
    for argument in arguments:
        name = re.fullmatch(r"--(\w+)=\S+", argument).group(1)
        assert re.search(rf"--(\[no\])?{name}\b", help_of(module)), argument


@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if "daaf_tf.train" in words], ids=lambda words: words[3]
)
def test_a_training_command_is_a_valid_config(words):
    flags = [word for word in words[4:] if not word.startswith("--model_dir=")]
    config = parse(ROOT / words[3].partition("=")[2], *flags)
    assert config.data.data_dir == "R"


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("TriNet, flag by flag", "market1501_trinet_daaf"),
        ("Bag of Tricks, flag by flag", "market1501_bot_daaf"),
        ("The branches", "market1501_bot_daaf"),
        ("The branches", "market1501_trinet_daaf"),
    ],
)
def test_the_flags_explained_are_those_of_the_recipe(title, stem):
    flags = re.findall(r"--\w+=[\w.,-]+", section(title))
    assert len(flags) >= 5
    path = ROOT / f"configs/{stem}.flags"
    assert flat(parse(path, *flags)) == flat(parse(path))
