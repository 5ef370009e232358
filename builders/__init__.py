"""From recordings to Arrow: policies, recorder, replay, the Hugging Face builder and its command."""
