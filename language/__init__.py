"""Natural language by rules, without a model: sentences, terms, what a question asks, which passages answer it.

The functions are CPU-bound: call them in a thread.
"""
