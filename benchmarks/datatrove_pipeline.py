"""The peer of `benchmarks.data`: raw JSONL to tokens by datatrove, run by the Python of an environment that has it.

`python datatrove_pipeline.py CORPUS FOLDER TOKENIZER`: quality rules, mojibake, personal data, MinHash in four steps,
tokens; one worker. Language identification is left out: its model is a download. Prints CPU seconds and documents.
"""

import json
import resource
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig


def cpu() -> float:
    """CPU seconds of this process and its children so far."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def run(*steps: object, tasks: int = 1) -> None:
    """Run a pipeline here, in this process."""
    LocalPipelineExecutor(pipeline=list(steps), tasks=tasks, workers=1, skip_completed=False).run()


def main() -> None:
    """Run all, print what it took."""
    corpus, folder, tokenizer = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    clean, kept, sketches, buckets, removed = (
        str(folder / n) for n in ("clean", "kept", "sketches", "buckets", "removed")
    )  # fmt: skip
    config = MinhashConfig(hash_config=HashConfig(precision=64), num_buckets=14, hashes_per_bucket=8, n_grams=5)
    start = cpu()
    run(
        JsonlReader(corpus), FTFYFormatter(), GopherRepetitionFilter(), GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter(), PIIFormatter(),
        JsonlWriter(clean, compression=None),
    )  # fmt: skip
    run(JsonlReader(clean), MinhashDedupSignature(output_folder=sketches, config=config))
    run(MinhashDedupBuckets(input_folder=sketches, output_folder=buckets, config=config), tasks=config.num_buckets)
    run(MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=config))
    run(JsonlReader(clean), MinhashDedupFilter(input_folder=removed), JsonlWriter(kept, compression=None))
    run(
        JsonlReader(kept),
        DocumentTokenizer(
            output_folder=str(folder / "tokens"), local_working_dir=str(folder / "work"),
            tokenizer_name_or_path=tokenizer,
        ),
    )  # fmt: skip
    documents = sum(len(path.read_text().splitlines()) for path in Path(kept).glob("*.jsonl"))
    print(json.dumps({"cpu": cpu() - start, "start_cpu": start, "documents": documents}))


if __name__ == "__main__":
    main()
