"""Live captions: the microphone, heard at a bounded cost."""
