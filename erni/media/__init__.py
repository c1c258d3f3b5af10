"""Sound in and out: decoding uploads, finding speech, cutting chunks. Knows files and programs, no jobs or
engines."""
