"""What a control plane does to a running live migration: Nova's way, by the clock, or by what is foreseen."""
