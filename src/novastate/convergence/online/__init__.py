"""A migration that runs: what it tells of its guest and link, what is ahead of it, and the same for one that was recorded or made up."""
