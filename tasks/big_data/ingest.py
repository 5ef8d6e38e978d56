"""Source files become documents: exactly the manifest's bytes are read, decoded and parted into rows.

Files are read group by group (`layout.py`), a large file of lines part by part (`reading.py`); what came of a group is
remembered by the digests of its files, so that unchanged files are never read twice.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from data_contracts.records import SourceFile
from infra.settings import Settings
from tasks.big_data.documents import Shard, Tally, write_index
from tasks.big_data.engine import Engine, engine
from tasks.big_data.formats import named
from tasks.big_data.layout import Group, groups
from tasks.big_data.lines import Span, cut
from tasks.big_data.manifest import read_manifest
from tasks.big_data.memory import Memory, key_of
from tasks.big_data.places import DiskPlace, Place, Places
from tasks.big_data.readers import Columns, NoTextColumnError
from tasks.big_data.reading import Item, Made, gone, read_as, read_item, refuse_without_text, require_same, shards_of
from tasks.big_data.sources import Digests
from tasks.params import Params
from tasks.progress import Progress
from tasks.report import Report, StepError

Known = tuple[list[Shard], Tally]
# A plain file of lines that is larger is read in parts, on several cores.
SPAN_BYTES = 32 << 20
_UNREADABLE_NAMED = 20


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the document table and the rows that are none, with reasons.

    Raises:
        StepError: a source is gone or changed, none of its rows has the text column, or nothing could be read.
    """
    files = read_manifest(settings.artifacts / "discover")
    step = _Step(params, settings, out)
    with engine(settings) as where:
        known = step.read(step.items(files), where)
    step.end()
    tally = Tally()
    for _, counted in known:
        tally.add(counted)
    write_index(out, (shard for shards, _ in known for shard in shards))
    if not tally.rows_out:
        first = next(iter(tally.examples.values()), [""])[0]
        raise StepError(
            f"expected text in {len(files)} sources, found none that can be read: {tally.in_words()}; "
            f"the first is {first}; name other sources in params.yaml (discover.sources) or repair these"
        )
    unreadable = dict(list(tally.facts.pop("unreadable", {}).items())[:_UNREADABLE_NAMED])
    return tally.report("ingest", {"sources": len(files), **tally.facts, "unreadable": unreadable})


class _Step:
    """Reads items, remembered ones from memory."""

    def __init__(self, params: Params, settings: Settings, out: Path) -> None:
        self._params, self._settings, self._out = params, settings, out
        self._digests, self._places = Digests(settings), Places(settings)
        self._memory = Memory(settings.cache / "shards" / "ingest")
        self._columns: dict[str, tuple[SourceFile, Columns]] = {}

    def items(self, files: Iterable[SourceFile]) -> list[Item]:
        """What is read at once, in the order of the sources."""
        return [item for group in groups(files) for item in self._items(group)]

    def read(self, items: list[Item], where: Engine) -> list[Known]:
        """What came of each item; those that are remembered are not read."""
        known = [self._recalled(item) for item in items]
        fresh = [number for number, found in enumerate(known) if found is None]
        for number, item in enumerate(items):
            if known[number] is not None and item.span is None:  # a file in parts was looked at already
                for file in item.group:
                    self._check(file)
        streams = [number for number in fresh if not items[number].span and items[number].group[0].size > SPAN_BYTES]
        others = [number for number in fresh if number not in set(streams)]
        progress = self._settings.runs / "progress" / "ingest.json"
        with Progress("ingest", total=len(fresh), unit="groups of files", file=progress) as shown:
            made = where.map(read_item, (items[number] for number in others), in_python=True)
            for done, (number, result) in enumerate(zip(others, made, strict=True), start=1):
                known[number] = self._keep(items[number], result.made, result.columns)
                shown.update(done)
            # Streams that cannot be cut: here, shard after shard, so that they are never in memory as a whole.
            for done, number in enumerate(streams, start=len(others) + 1):
                known[number] = self._keep(items[number], shards_of(items[number], Columns()), Columns())
                shown.update(done)
        return [found for found in known if found is not None]

    def end(self) -> None:
        """Save what is known of the files; refuse one whose parts, all of them, lack the text column.

        Raises:
            StepError: there is one.
        """
        self._digests.save()
        for file, columns in self._columns.values():
            try:
                columns.check()
            except NoTextColumnError as error:
                raise refuse_without_text(file, self._params.source(file.source), error) from None

    def _keep(self, item: Item, made: Iterable[Made], columns: Columns) -> Known:
        """Write shards and remember them, each by itself, then how many they are and which columns a part had."""
        key, shards, tally = self._key(item), list[Shard](), Tally()
        for number, one in enumerate(made):
            noted = {"shard": one.shard._asdict(), "tally": one.tally.note()}
            self._memory.keep(f"{key}-{number}", one.files, noted, self._out)
            shards.append(one.shard)
            tally.add(one.tally)
        self._memory.keep(key, {}, {"shards": len(shards), "columns": vars(columns)}, self._out)
        self._join(item, columns)
        return shards, tally

    def _recalled(self, item: Item) -> Known | None:
        key, shards, tally = self._key(item), list[Shard](), Tally()
        found = self._memory.recall(key, self._out)
        for number in range(found["shards"] if found else 0):
            noted = self._memory.recall(f"{key}-{number}", self._out)
            if noted is None:
                return None
            shards.append(Shard(**noted["shard"]))
            tally.add(Tally.of_note(noted["tally"]))
        if not found:
            return None
        columns = Columns()
        vars(columns).update(found["columns"])
        self._join(item, columns)
        return shards, tally

    def _join(self, item: Item, columns: Columns) -> None:
        """Note which columns a part of a file had, remembered or not: whether any has text is known of the whole."""
        if item.span:
            (file,) = item.group
            self._columns.setdefault(file.uri, (file, Columns()))[1].add(columns)

    def _items(self, group: Group) -> Iterator[Item]:
        """The group, or the parts of the large file of lines that it is."""
        sources = {file.source: self._params.source(file.source) for file in group}
        first = group[0]
        place = self._places.of(first.uri, first.source)
        kind = named(first.uri)
        is_lines = kind is not None and kind.format == "jsonl" and not kind.compression
        if len(group) > 1 or first.size <= SPAN_BYTES or not is_lines or not isinstance(place, DiskPlace):
            yield Item(group, None, 0, sources, self._settings)
            return
        self._check(first)
        for number, span in enumerate(self._spans(first, place)):
            yield Item(group, span, number, sources, self._settings)

    def _spans(self, file: SourceFile, place: Place) -> list[Span]:
        """Parts of a large file of lines; of the same bytes they are known."""
        key = key_of("cut", file.sha256, SPAN_BYTES)
        if known := self._memory.recall(key, self._out):
            return [Span(*span) for span in known["spans"]]
        try:
            with place.open() as content:
                spans = list(cut(content, SPAN_BYTES))
        except OSError as error:
            raise gone(file, place, error) from None
        self._memory.keep(key, {}, {"spans": spans}, self._out)
        return spans

    def _key(self, item: Item) -> str:
        said = {uri: read_as(source) for uri, source in item.sources.items()}
        files = ((file.uri, file.source, file.sha256) for file in item.group)
        return key_of("ingest", said, item.span, *files)

    def _check(self, file: SourceFile) -> None:
        """A file must be what the manifest says; it is read only if its stamp is new."""
        place = self._places.of(file.uri, file.source)
        try:
            digest, size = self._digests.of(place)
        except OSError as error:
            raise gone(file, place, error) from None
        require_same(file, digest, size)
