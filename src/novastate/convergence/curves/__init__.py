"""From observations to a dirty curve: traces, bitmaps, samples and rounds, and the classes of pages fitted to them."""
