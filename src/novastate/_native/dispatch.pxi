# The instruction set of this module, for Python: `isa()`, `variants()`, `force_isa(name)`; see dispatch.h.
# What NOVASTATE_ISA asks for is taken as the module is imported; `novastate._native` has refused it where it is not there.

from novastate._native import ISA


cdef extern from "dispatch.h" nogil:
    int ns_isa()
    const char *ns_isa_name(int level)
    const char *ns_isa_variant(size_t i)
    int ns_isa_force(const char *name)


def isa():
    return ns_isa_name(ns_isa()).decode()


def variants():
    names = []
    while ns_isa_variant(len(names)) is not NULL:
        names.append(ns_isa_variant(len(names)).decode())
    return tuple(names)


def force_isa(str name not None):
    if ns_isa_force(name.encode()) != 0:
        raise ValueError(f"isa: {name!r} is not available here")


if ISA in variants():
    force_isa(ISA)
