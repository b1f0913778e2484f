#!/usr/bin/env python3
"""Writes the reference of docs/python.md, what follows its marker, from the docstrings of the package.

Usage: PYTHONPATH=build/dev/python tools/python_docs.py [--check]    exit 1: it is not up to date
"""

import inspect
import re
import sys
from pathlib import Path

import gemmsmith
from gemmsmith import cache, deep_gemm, layouts, results, tables

PAGE = Path(__file__).parents[1] / "docs/python.md"
MARKER = "<!-- from here on: tools/python_docs.py -->\n"
STUB = Path(gemmsmith.__file__).parent / "_core.pyi"
PARTS = [
    ("Products", gemmsmith,
     ["gemm", "Gemm", "PackedWeight", "BoundGemm", "grouped_gemm", "Epilogue", "Value", "set_num_sms", "get_num_sms"]),
    ("Ahead of time, and why", gemmsmith,
     ["Problem", "compile", "explain", "show_code", "tune", "predict_config", "record_performance", "profile", "evaluate",
      "devices", "doctor", "kernels", "epilogue_names", "configure"]),
    ("A kernel of one's own", gemmsmith, ["jit", "Kernel"]),
    ("The cache", cache, ["stats", "list", "search", "show", "read", "verify", "prune", "clear", "export", "load",
                          "read_bundle", "make_signing_key"]),
    ("Results", results, ["list", "show", "timings", "export", "load", "prune"]),
    ("Layouts", layouts,
     ["per_token_cast_to_fp8", "per_block_cast_to_fp8", "per_channel_cast_to_fp8", "get_mn_major_tma_aligned_tensor",
      "get_mn_major_tma_aligned_packed_ue8m0_tensor", "pad_groups", "unpad_groups", "padded_rows",
      "get_tma_aligned_size", "get_m_alignment_for_contiguous_layout", "get_k_alignment_for_contiguous_layout",
      "ceil_div", "align"]),
    ("DeepGEMM's names: gemmsmith.deep_gemm", deep_gemm,
     [name for name in deep_gemm.__all__ if getattr(deep_gemm, name) is not getattr(layouts, name, None)]),
    ("What is returned", tables, ["Table", "Record"]),
    ("Errors", gemmsmith, ["Error", "InvalidArgument", "DTypeError", "Unsupported", "NotFound", "CompileError",
                           "DeviceError", "OutOfMemory", "IoError", "Cancelled", "InternalError"]),
]
WITH_PREFIX = (cache, layouts, results)


def signature(name: str, thing: object) -> str:
    """As it is written: of Python's own from the object, of the module's from its stub."""
    if inspect.isfunction(thing):
        return name + re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(thing)))
    text = STUB.read_text()
    where = text.find(f"class {name}:")
    if where >= 0:
        text = text[: text.find("\nclass ", where)]
    head = r"def __init__\(self, (.*)\) -> None" if where >= 0 else rf"def {name}\((.*)\) -> (.*?):"
    found = re.search(head, text[max(where, 0):])
    if found is None or inspect.isclass(thing) and where < 0:
        return name
    return f"{name}({found[1]})".replace(": Any = None", "=None").replace(": Any", "")


def members(thing: object) -> list[str]:
    """Documented methods and properties, one line each."""
    lines = []
    for name, member in vars(thing).items():
        doc = inspect.getdoc(member) if name == "__call__" or not name.startswith("_") else None
        if doc and not doc.startswith("(self)") and not isinstance(member, (str, int, dict, list)):
            lines.append(f"- `{name}`: " + re.sub(rf"^{name}\(.*?\n\n?", "", doc, flags=re.S).replace("\n", " "))
    return lines


def prose(thing: object, name: str) -> str:
    doc = inspect.getdoc(thing) or ""
    return re.sub(rf"^{name}\(.*\n\n?", "", doc)


def reference() -> str:
    text = []
    for title, module, names in PARTS:
        text.append(f"## {title}\n")
        if module is deep_gemm:
            text.append(f"```text\n{inspect.getdoc(module)}\n```\n")
        for name in names:
            thing = getattr(module, name)
            if module is deep_gemm:
                text.append(f"- `{signature(name, thing)}`: {' '.join(prose(thing, name).split())}")
                continue
            is_error = inspect.isclass(thing) and issubclass(thing, Exception)
            if is_error:
                bases = ", ".join(base.__name__ for base in thing.__bases__)
                text.append(f"- `{name}({bases})`: {inspect.getdoc(thing)}")
                continue
            prefix = module.__name__.removeprefix("gemmsmith").lstrip(".") + "." if module in WITH_PREFIX else ""
            text.append(f"### {prefix}{name}\n\n```python\n{prefix}{signature(name, thing)}\n```\n")
            text.append(f"```text\n{prose(thing, name)}\n```\n")
            if inspect.isclass(thing):
                text.extend([*members(thing), ""])
        text.append("")
    return "\n".join(text).rstrip() + "\n"


def main() -> int:
    page = PAGE.read_text()
    wanted = page[: page.index(MARKER) + len(MARKER)] + "\n" + reference()
    if "--check" in sys.argv:
        if page != wanted:
            print("docs/python.md differs from the docstrings: run tools/python_docs.py")
        return page != wanted
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
