"""What happens, in order: accept, prepare, transcribe, diarize, finish; and how jobs end otherwise.

Every step may run twice: it returns at once when its output exists or its job is over.
"""
