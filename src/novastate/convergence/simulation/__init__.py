"""A page-exact replica of QEMU's pre-copy: the write laws of its guests, its pages as bitmaps, its loop."""
