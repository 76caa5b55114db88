"""The composition roots: what a process opens, in order, and closes in reverse."""
