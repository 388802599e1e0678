"""Sound in, sound out: a path, bytes or (rate, array) becomes a Clip of mono float32 at 16 kHz.

Modules:
    containers.py   what a file is, by its first bytes (never by its name)
    headers.py      what its header promises: rate, channels, seconds
    cut.py          containers that end before they should
    decoders.py     libsndfile: wav, flac, mp3, ogg, opus, aiff, au ... in blocks
    ffmpeg.py       ffmpeg: m4a, mp4, webm ... in blocks, locked down
    collect.py      blocks -> mono, 16 kHz, with running checks
    read.py         read_clip: the above in order
    write.py        encode_wav, peaks
"""

from asrdemo.audio.collect import as_float32
from asrdemo.audio.read import read_clip
from asrdemo.audio.write import encode_wav, peaks

__all__ = ["as_float32", "encode_wav", "peaks", "read_clip"]
