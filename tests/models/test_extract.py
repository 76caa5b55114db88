"""Summaries by extraction."""

import pytest

from models.extract import follow_instruction, key_sentences, sentences, summary

MATERIAL = "\n".join(
    [
        "The lighthouse was built in 1820 on the northern cliff [p. 1].",
        "Its lamp was fuelled with whale oil for forty years [p. 1].",
        "Keepers lived in a cottage beside the lighthouse with their families [p. 2].",
        "In 1861 the lamp was converted to paraffin, which was cheaper and brighter [p. 2].",
        "Gulls nest on the roof every spring and nobody minds them [p. 3].",
        "The lighthouse was automated in 1986 and the last keeper left the cliff [p. 3].",
        "Today the cottage is a small museum about the keepers and the lamp [p. 4].",
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is here. Two is there! Is three?", ["One is here.", "Two is there!", "Is three?"]),
        ("The lamp was lit [p. 3]. It burned [p. 4].", ["The lamp was lit [p. 3].", "It burned [p. 4]."]),
        ("The lamp was lit. [p. 3] It burned. [p. 4]", ["The lamp was lit. [p. 3]", "It burned. [p. 4]"]),
        ("[p. 3] The lamp was lit. It burned.", ["The lamp was lit. [p. 3]", "It burned. [p. 3]"]),
        ("Dr. Grey met J. Smith, e.g. Tom. They spoke.", ["Dr. Grey met J. Smith, e.g. Tom.", "They spoke."]),
        ("- First point\n2. Second point\n# A title", ["First point", "Second point", "A title"]),
        ("灯台は古い。猫がいる。", ["灯台は古い。", "猫がいる。"]),
        ("It cost 3.50 euros. v1.2 came.", ["It cost 3.50 euros. v1.2 came."]),
        ("", []),
    ],
)
def test_texts_are_cut_into_sentences_with_their_citations(text: str, expected: list[str]) -> None:
    assert [one.text for one in sentences(text)] == expected


def test_points_are_sentences_of_the_material_in_its_order() -> None:
    points = [line.removeprefix("- ") for line in summary(MATERIAL, points=3, opening=False).splitlines()]
    lines = MATERIAL.splitlines()
    assert len(points) == 3
    assert [lines.index(point) for point in points] == sorted(lines.index(point) for point in points)


def test_an_opening_paragraph_is_not_repeated_in_the_points() -> None:
    opening, _, points = summary(MATERIAL * 3, points=6, opening=True).partition("\n\n")
    assert opening
    assert not [line for line in points.splitlines() if line.removeprefix("- ") in opening]


def test_near_repetitions_are_passed_over() -> None:
    text = "The cat sat on the warm red mat today. " * 5 + "A storm took the roof of the old barn last night."
    assert "storm" in " ".join(one.text for one in key_sentences(text, 2))


def test_the_focus_of_an_instruction_is_dwelt_on() -> None:
    instruction = "Summarise. Dwell on what bears on this: 'gulls nest'. If nothing does, answer only: NOTHING RELEVANT"
    assert "Gulls nest" in follow_instruction(instruction, MATERIAL)
    assert follow_instruction(instruction.replace("gulls nest", "tax law"), MATERIAL) == "NOTHING RELEVANT"


@pytest.mark.parametrize("material", ["", "?!", "a b c", "the of and", "x" * 5_000, "[p. 1]"])
def test_odd_material_is_no_error(material: str) -> None:
    assert isinstance(follow_instruction("Summarise in at most three bullet points.", material), str)
    assert isinstance(follow_instruction("Which language is this?", material), str)
