"""Pictures in one pass: networks that paint, their files, the engine."""
