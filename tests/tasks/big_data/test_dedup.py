"""Exact duplicates: one keeper a group, by a rule that no order changes; the others name it."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data.dedup import exact_keepers, key, pl
from tasks.big_data.documents import document_id
from tasks.params import Dedup


def test_the_smallest_uri_is_kept_and_the_others_name_it(workspace):
    workspace.put(
        "privacy",
        {
            "docs/c": "Same  text",
            "docs/b": "same text\n",
            "docs/a": "same\ttext",
            "docs/d": "another",
            "docs/e": "sametext",
        },
    )
    report = workspace.run("dedup")

    assert workspace.texts("dedup") == {"docs/a": "same\ttext", "docs/d": "another", "docs/e": "sametext"}
    reason = [f"duplicate_of:{document_id('docs/a')}"]
    assert workspace.reasons("dedup") == {"docs/b": reason, "docs/c": reason}
    assert report.reasons == {"duplicate_of": 2}
    assert report.facts["exact_groups"] == 1
    assert report.facts["largest_groups"] == {"docs/a": 2}


def test_white_space_can_make_a_difference(workspace):
    workspace.set(dedup={"ignore_whitespace": False})
    workspace.put("privacy", {"docs/a": "same text", "docs/b": "same  text", "docs/c": "same text"})
    workspace.run("dedup")
    assert set(workspace.texts("dedup")) == {"docs/a", "docs/b"}


@given(
    st.lists(st.tuples(st.text(max_size=3), st.sampled_from(["x", "y", "z"])), unique_by=lambda row: row[0]),
    st.randoms(),
)
def test_order_does_not_matter_and_keepers_are_kept(rows, random):
    def keepers(rows):
        table = [(document_id(uri), uri, key(text, Dedup())) for uri, text in rows]
        schema = {"id": pl.String, "uri": pl.String, "key": pl.Binary}
        return exact_keepers(pl.DataFrame(table, schema=schema, orient="row")).rows()

    shuffled = random.sample(rows, len(rows))
    assert keepers(rows) == keepers(shuffled)
    dropped = {id_ for id_, _ in keepers(rows)}
    assert not dropped & {keeper for _, keeper in keepers(rows)}
    assert len(rows) - len(dropped) == len({text for _, text in rows})
