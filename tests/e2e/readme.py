"""The commands of the README, by the names that stand in front of their blocks."""
import re

import lab

BLOCK = re.compile(r"<!-- commands: (?P<name>[^>]+?) -->\n```sh\n(?P<text>.*?)```\n", re.DOTALL)


def commands():
    """{name: the block's text}, in the order of the README."""
    text = (lab.REPOSITORY / "README.md").read_text()
    blocks = {}
    for match in BLOCK.finditer(text):
        assert match["name"] not in blocks, f"the README has two blocks named {match['name']}"
        blocks[match["name"]] = match["text"]
    return blocks
