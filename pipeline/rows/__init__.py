"""Rows on their way: from input records to prompts, from outcomes to rows of the output."""
