"""Nova's wire profile: its versioned objects, read and written in every version that a peer may speak."""
