from array import array

def run(
    scenario: array[float],
    classes: array[float],
    members: array[float],
    out: array[float],
    rounds: array[float],
    start: array[float] | None = None,
) -> int: ...
