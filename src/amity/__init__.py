"""Embedding-based retrieval on graphs of people and things."""
