"""Fine-tune a segmenter: pipelines, losses, schedules, recipes."""
