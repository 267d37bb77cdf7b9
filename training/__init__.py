"""From annotated pairs to an exported, tracked and chosen model. Runs from a checkout; not part of the wheel."""
