"""Metrics over recordings with references: words, speakers, seams, times. Runs nothing; ``erni eval`` does."""
