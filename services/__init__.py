"""The composition roots: the resources that a process opens in order, and closes in reverse."""
