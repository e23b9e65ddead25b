"""Evaluation of whole data sets: where features come from, how they are ranked, what is shown."""
