"""What a file's name says of its content: the format, the compression around it, the language of source code."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.source import HTTP

# Endings of source code, by language. Data that is also code (JSON, XML, SVG) is none: it is no prose and no program.
CODE_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "ada": (".adb", ".ads"),
    "assembler": (".asm", ".s"),
    "basic": (".bas", ".vb", ".vbs"),
    "c": (".c", ".h"),
    "c++": (".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"),
    "c#": (".cs",),
    "clojure": (".clj", ".cljs"),
    "cobol": (".cbl", ".cob"),
    "css": (".css", ".less", ".scss"),
    "cuda": (".cu", ".cuh"),
    "dart": (".dart",),
    "elixir": (".ex", ".exs"),
    "erlang": (".erl", ".hrl"),
    "f#": (".fs", ".fsx"),
    "fortran": (".f", ".f03", ".f90", ".f95", ".for"),
    "go": (".go",),
    "groovy": (".gradle", ".groovy"),
    "haskell": (".hs", ".lhs"),
    "java": (".java",),
    "javascript": (".cjs", ".js", ".jsx", ".mjs"),
    "julia": (".jl",),
    "kotlin": (".kt", ".kts"),
    "lisp": (".el", ".lisp", ".scm"),
    "lua": (".lua",),
    "make": (".cmake", ".mk"),
    "matlab": (".m",),
    "ocaml": (".ml", ".mli"),
    "pascal": (".dpr", ".pas", ".pp"),
    "perl": (".pl", ".pm"),
    "php": (".php",),
    "plc": (".scl", ".st"),
    "powershell": (".ps1", ".psm1"),
    "prolog": (".pro",),
    "protobuf": (".proto",),
    "python": (".py", ".pyi", ".pyx"),
    "r": (".r",),
    "ruby": (".rb",),
    "rust": (".rs",),
    "scala": (".scala",),
    "shell": (".bash", ".bat", ".cmd", ".sh", ".zsh"),
    "sql": (".sql",),
    "swift": (".swift",),
    "tcl": (".tcl",),
    "terraform": (".hcl", ".tf"),
    "typescript": (".ts", ".tsx"),
    "verilog": (".sv", ".v", ".vhd", ".vhdl"),
    "vue": (".svelte", ".vue"),
    "zig": (".zig",),
}
CODE_SUFFIXES = tuple(sorted(suffix for suffixes in CODE_LANGUAGES.values() for suffix in suffixes))
# Suffix and format.
FORMATS: Mapping[str, str] = {
    ".txt": "text", ".text": "text", ".log": "text",
    ".md": "markdown", ".markdown": "markdown",
    ".rst": "rst",
    **dict.fromkeys(CODE_SUFFIXES, "code"),
    ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv", ".tsv": "csv",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".xls": "xlsx", ".ods": "xlsx",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx", ".docm": "docx",
    ".pptx": "pptx", ".pptm": "pptx",
    ".eml": "eml", ".mbox": "mbox",
    ".zip": "zip", ".tar": "tar",
}  # fmt: skip
ARCHIVE_FORMATS = ("zip", "tar")
COMPRESSION_SUFFIXES = (".gz", ".zst")
_SHORT_FORMS = {".tgz": (".tar", ".gz"), ".tzst": (".tar", ".zst")}


class Named(NamedTuple):
    """What a name says: suffix and format of the content, and the suffix of a compression around it ("" none)."""

    suffix: str
    format: str
    compression: str


def named(name: str, ending: str = "") -> Named | None:
    """What a file's name says of its content; None if we do not read such files.

    Args:
        name: of a file, or its uri.
        ending: what the content has instead of its own ending, with or without a dot; an archive stays one, as it
            speaks of the files within.
    """
    path = PurePosixPath((urlsplit(name).path if name.startswith(HTTP) else name).lower())
    suffix, compression = path.suffix, ""
    if suffix in _SHORT_FORMS:
        suffix, compression = _SHORT_FORMS[suffix]
    elif suffix in COMPRESSION_SUFFIXES:
        suffix, compression = PurePosixPath(path.stem).suffix, suffix
    if ending and FORMATS.get(suffix) not in ARCHIVE_FORMATS:
        suffix = f".{ending.lower().removeprefix('.')}"
    return Named(suffix, FORMATS[suffix], compression) if suffix in FORMATS else None
