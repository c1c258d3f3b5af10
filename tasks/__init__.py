"""Entrance for workers: Celery tasks that call one step each."""
