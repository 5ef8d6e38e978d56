"""Copies: one document stays for a group, by a rule that no order changes; the others name it; sides are decided."""

import polars as pl

from tasks.big_data.documents import document_id
from tasks.big_data.sides import HELD_OUT
from tasks.big_data.split import score
from tasks.fingerprints import write_fingerprints

WORDS = [f"word{n}" for n in range(100)]


def sides(workspace) -> dict[str, str]:
    return dict(pl.read_parquet(workspace.out("dedup") / "sides.parquet").iter_rows())


def on_side(held_out: bool, prefix: str = "docs/") -> str:
    """A uri whose side is known, whatever else there is."""
    return next(uri for n in range(1000) if (score(document_id(uri := f"{prefix}{n}")) < 2**60) == held_out)


def test_the_smallest_uri_is_kept_and_the_others_name_it(workspace):
    workspace.set(pack={"held_out_share": 1e-9, "min_held_out": 1})
    workspace.put(
        "privacy",
        {
            "docs/c": "Same  text",
            "docs/b": "same text\n",
            "docs/a": "same\ttext",
            "docs/d": "another",
        },
    )
    report = workspace.run("dedup")

    assert workspace.texts("dedup") == {"docs/a": "same\ttext", "docs/d": "another"}
    reason = [f"duplicate_of:{document_id('docs/a')}"]
    assert workspace.reasons("dedup") == {"docs/b": reason, "docs/c": reason}
    assert report.reasons == {"duplicate_of": 2}
    assert report.facts["exact_groups"] == 1
    assert report.facts["near_groups"] == 0
    assert report.facts["group_sizes"] == {"3": 1}
    assert report.facts["largest_groups"] == [{"keeper": "docs/a", "copies": 2, "jaccard": [1, 1]}]


def test_white_space_can_make_a_difference(workspace):
    workspace.set(dedup={"ignore_whitespace": False}, pack={"held_out_share": 1e-9, "min_held_out": 1})
    workspace.put("privacy", {"docs/a": "same text", "docs/b": "same  text", "docs/c": "same text"})
    workspace.run("dedup")
    assert set(workspace.texts("dedup")) == {"docs/a", "docs/b"}


def test_the_longer_of_near_copies_is_kept(workspace):
    workspace.set(pack={"held_out_share": 1e-9, "min_held_out": 1})
    texts = {"docs/a": " ".join(WORDS), "docs/b": " ".join([*WORDS, "more"]), "docs/c": " ".join(WORDS[:60])}
    workspace.put("privacy", texts)
    report = workspace.run("dedup")
    assert workspace.reasons("dedup") == {"docs/a": [f"near_duplicate_of:{document_id('docs/b')}"]}
    assert report.facts["near_groups"] == 1
    assert report.facts["largest_groups"][0]["jaccard"] == [round(96 / 97, 4)] * 2


def test_a_copy_of_a_held_out_document_is_not_trained_on(workspace):
    workspace.set(pack={"held_out_share": 1 / 16, "min_held_out": 1})
    held_out, near, exact = on_side(True), on_side(False, "docs/near"), on_side(False, "docs/exact")
    fillers = {on_side(False, f"docs/filler{n}-"): f"filler {n}" for n in range(20)}
    text = " ".join(WORDS)
    workspace.put("privacy", {near: f"{text} and a good deal more", exact: text, held_out: text, **fillers})
    report = workspace.run("dedup")
    reason = [f"near_copy_of_held_out:{document_id(held_out)}"]
    assert workspace.reasons("dedup") == {near: reason, exact: reason}
    assert sides(workspace)[document_id(held_out)] == HELD_OUT
    assert report.facts["sides"] == {"held_out": 1, "train": 20}


def test_a_long_block_stays_in_one_document(workspace):
    workspace.set(pack={"held_out_share": 1e-9, "min_held_out": 1})
    block = "This notice is the same everywhere. " * 8
    longer = "\n\n".join([f"A text of its own, {WORDS}", block, "Its end."])
    shorter = "\n\n".join([f"Another text, {WORDS[::-1]}"[:400], block.upper(), "Another end.\n"])
    workspace.put("privacy", {"docs/a": shorter, "docs/b": longer, "docs/c": f"Only this.\n\n{block}"})
    report = workspace.run("dedup")
    assert workspace.texts("dedup") == {
        "docs/a": f"{f'Another text, {WORDS[::-1]}'[:400]}\n\nAnother end.\n",
        "docs/b": longer,
    }
    assert workspace.reasons("dedup") == {"docs/c": ["only_repeated_blocks"]}
    assert report.facts["repeated_blocks"] == {"documents": 1, "blocks": 1, "bytes": len(f"{block}\n\n")}


def test_what_the_base_learnt_stays_and_its_near_copy_judges_nothing(workspace):
    workspace.set(pack={"held_out_share": 1 / 16, "min_held_out": 1})
    held_out, learnt = on_side(True), on_side(True, "docs/learnt")
    fillers = {on_side(False, f"docs/filler{n}-"): f"filler {n}" for n in range(20)}
    text = " ".join(WORDS)
    workspace.put("privacy", {held_out: f"{text} and one more", learnt: text, **fillers})
    (workspace.out("discover") / "base").mkdir()
    write_fingerprints(workspace.out("discover") / "base" / "trained.npy", [document_id(learnt)])
    report = workspace.run("dedup")
    assert workspace.reasons("dedup") == {held_out: [f"near_duplicate_of:{document_id(learnt)}"]}
    assert sides(workspace)[document_id(learnt)] == "train"
    assert report.facts["sides"] == {"held_out": 0, "train": 21}
