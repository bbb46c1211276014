"""Runs a law under atheris: coverage leads the mutations, and each of them is a small change of a primitive, not of its bytes.

``python tests/fuzz/fuzz_nova.py [SECONDS] [FILE ...]``: with files, they are run once each, and nothing else is.
With the same ``FUZZ_SEED`` (1; 0: any) and ``PYTHONHASHSEED`` an empty corpus grows alike in every run, as far as the time lasts.
The corpus grows in ``build/fuzz``; what breaks a law stays there as ``crash-…``, and belongs into ``tests/objects/data/fuzz``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "tests" / "objects" / "data" / "fuzz"
#: Bytes of an input: some twice the longest recorded primitive.
LONGEST = 32_000
SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
#: A red CI is red for the change under test. 0: another in every run, for whoever looks for more.
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def run(name: str, law: Callable[[bytes], object], seeds: Iterable[Any]) -> None:
    """Fuzzes *law* for the seconds that the command line tells, or half of ``FUZZ_SECONDS``."""
    import atheris

    from fuzz.laws import words
    from fuzz.mutate import mutated

    given = sys.argv[1:]
    seconds = float(given.pop(0)) if given and not Path(given[0]).exists() else SECONDS / 2
    if given:
        for file in given:
            law(Path(file).read_bytes())
        return
    home = ROOT / "build" / "fuzz" / name
    corpus = home / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        if len(text := json.dumps(seed)) < LONGEST:
            (corpus / f"seed-{number}").write_text(text)
            law(text.encode())  # what is generated is made, and instrumented, before the time runs
    for file in sorted(KEPT.glob(f"{name}-*")):
        (corpus / file.name).write_bytes(file.read_bytes())
    (home / "words.dict").write_text("".join(f'"{word}"\n' for word in words()))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.1:
            return atheris.Mutate(data, most)
        try:
            made = json.dumps(mutated(random, json.loads(data), random.choice((1, 1, 1, 2, 5)))).encode()
        except (ValueError, RecursionError):
            return atheris.Mutate(data, most)
        return made if len(made) <= most else data[:most]

    options = {
        "-max_total_time": int(seconds),
        "-seed": SEED,
        "-max_len": LONGEST,
        "-timeout": 120,
        "-rss_limit_mb": 2048,
        "-print_final_stats": 1,
        "-verbosity": 0,
        "-artifact_prefix": f"{home}/",
        "-dict": home / "words.dict",
    }
    argv = [sys.argv[0], *(f"{option}={value}" for option, value in options.items()), str(corpus)]
    atheris.Setup(argv, law, custom_mutator=mutate)
    atheris.Fuzz()


def instrumented() -> None:
    """Loads the objects so that atheris sees which of their lines run, those of and of what is generated."""
    # By Python's own loader: under that of an editable installation atheris instruments nothing.
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Redirecting" not in type(finder).__name__]
    import atheris

    with atheris.instrument_imports(include=["novastate.objects"]):
        from novastate.objects import codegen, nova

        assert nova.load, "loaded here, so that it is instrumented"
    compiled, generated = codegen.Source.compiled, []

    def traced(*given: Any) -> Any:
        generated.append(atheris.instrument_func(compiled(*given)))
        return generated[-1]

    codegen.Source.compiled = traced  # type: ignore[method-assign]
    nova.load({
        "nova_object.name": "Tag", "nova_object.namespace": "nova", "nova_object.version": "1.1", "nova_object.data": {},
    })  # fmt: skip
    # Without coverage a fuzzer tries one input for ever, and is content.
    assert generated, "what reads an object is generated through traced()"
    assert all(map(is_traced, (nova.load, *generated))), "atheris has not instrumented the objects"


def is_traced(function: Callable[..., Any]) -> bool:
    """Whether atheris has marked the code as one whose coverage it counts."""
    return "__ATHERIS_INSTRUMENTED__" in function.__code__.co_consts
