"""Routes, one module per subject. They parse, call one step and describe the answer."""
