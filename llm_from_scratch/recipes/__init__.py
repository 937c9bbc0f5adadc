"""What the commands are made of: data, tokenizer, model and settings put together."""
