"""The way of the data: from files of prompts, through Ray and the model, to published tables."""
