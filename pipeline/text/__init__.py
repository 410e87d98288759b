"""Between text and token ids: tokenizer, chat formats, templates, prompts, choices, detokenization."""
