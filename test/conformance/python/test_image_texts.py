"""What the Go SDK's Image is held against is what this SDK makes."""

import json
from pathlib import Path

from image_texts import texts

KEPT = Path(__file__).parents[3] / "sdk" / "test" / "testdata" / "images.json"


def test_the_texts_that_are_kept_are_those_of_this_sdk() -> None:
    assert texts() == json.loads(KEPT.read_text()), f"make {KEPT} again by image_texts.py"
