"""The cast of the demo corpus: 153 synthetic speakers, their splits, genders, ages and accents."""

from dataclasses import dataclass

from demo.synthesis import Voice
from demo.voices import (
    FEMALE,
    HELD_OUT_ACCENT,
    HELD_OUT_NAME,
    MALE,
    RESERVED_VARIANTS,
    VARIANTS,
    accent_name,
    kokoro_blend,
)

CLIPS = {"train": 13, "dev": 11, "test": 4}  # clips a speaker
# split -> eSpeak voices, each with the age its profile states (nothing: not stated, as for many real contributors)
ESPEAK = {
    "train": """
        en-us+m1:thirties en-us+m3:twenties en-us+f2:twenties en-us+f5: en-us+Andy:fifties en-us+Annie:fourties
        en-us+david:sixties en-us-nyc+m2:fourties en-us-nyc+f1:thirties en-us-nyc+adam: en-gb+m4:thirties
        en-gb+f3:fourties en-gb+Alex:twenties en-gb+Andrea:fifties en-gb-x-rp+m6:fifties en-gb-x-rp+belinda:twenties
        en-gb-x-rp+robert: en-gb-x-rp+john:seventies en-gb-x-gbclan+paul:fourties en-gb-x-gbclan+Steph:thirties
        en-gb-x-gbclan+rob: en-gb-x-gbcwmd+caleb:twenties en-gb-x-gbcwmd+f1:fifties en-gb-x-gbcwmd+max:fourties
        en-029+m8:fifties en-029+f2:thirties en-029+Denis: en-029+anika:teens""",
    "dev": """
        en-us+f4:thirties en-us+m7:fourties en-us-nyc+Mike: en-gb+m5:twenties en-gb-x-rp+linda:fifties
        en-gb-x-gbcwmd+benjamin:thirties en-029+Alicia:twenties en-gb-scotland+m3:fourties en-gb-scotland+f5:""",
    # Each voice variant speaks with every accent, so that accents differ in nothing else. Row by row, because the
    # sentences written by hand go to the first speakers.
    "test": """
        en-us+Michael:thirties en-us-nyc+Michael:thirties en-gb+Michael:thirties en-gb-x-gbclan+Michael:thirties
        en-gb-x-gbcwmd+Michael:thirties en-029+Michael:thirties en-gb-scotland+Michael:thirties
        en-us+Steph2:twenties en-us-nyc+Steph2:twenties en-gb-x-rp+Steph2:twenties
        en-gb-x-gbclan+Steph2:twenties en-gb-x-gbcwmd+Steph2:twenties en-029+Steph2:twenties
        en-gb-scotland+Steph2:twenties en-us+victor: en-us-nyc+victor: en-gb+victor: en-gb-x-gbclan+victor:
        en-gb-x-gbcwmd+victor: en-029+victor: en-gb-scotland+victor: en-us+steph3:fifties
        en-us-nyc+steph3:fifties en-gb-x-rp+steph3:fifties en-gb-x-gbclan+steph3:fifties
        en-gb-x-gbcwmd+steph3:fifties en-029+steph3:fifties en-gb-scotland+steph3:fifties en-us+Hugo:fourties
        en-us-nyc+Hugo:fourties en-gb+Hugo:fourties en-gb-x-gbclan+Hugo:fourties en-gb-x-gbcwmd+Hugo:fourties
        en-029+Hugo:fourties en-gb-scotland+Hugo:fourties en-us+grandma:seventies en-us-nyc+grandma:seventies
        en-gb-x-rp+grandma:seventies en-gb-x-gbclan+grandma:seventies en-gb-x-gbcwmd+grandma:seventies
        en-029+grandma:seventies en-gb-scotland+grandma:seventies en-us+pedro:thirties en-us-nyc+pedro:thirties
        en-gb+pedro:thirties en-gb-x-gbclan+pedro:thirties en-gb-x-gbcwmd+pedro:thirties en-029+pedro:thirties
        en-gb-scotland+pedro:thirties en-us+Alicia: en-us-nyc+Alicia: en-gb-x-rp+Alicia: en-gb-x-gbclan+Alicia:
        en-gb-x-gbcwmd+Alicia: en-029+grandpa:seventies en-gb-scotland+Alicia: en-us+edward:twenties
        en-us-nyc+edward:twenties en-gb+edward:twenties en-gb-x-gbclan+edward:twenties
        en-gb-x-gbcwmd+edward:twenties en-029+edward:twenties en-gb-scotland+edward:twenties
        en-us+linda:fourties en-us-nyc+linda:fourties en-gb+linda:fourties en-gb-x-gbclan+linda:fourties
        en-gb-x-gbcwmd+linda:fourties en-029+linda:fourties en-gb-scotland+linda:fourties""",
}
# More of the accent that is kept out, with variants that training knows: here only the accent is new.
HELD_OUT = "m1:thirties f2:twenties Andy:fifties Annie: robert:sixties"
# Collected later, in the same accent: `demo-en` was not trained on it, `demo-en-tuned` was. No variant of a dev or test
# speaker with this accent.
COLLECTED = """
    f1:thirties m2:fourties f3:twenties m4:fifties Andrea:sixties m6:twenties Steph: m8:thirties belinda:fourties
    Alex:teens anika:twenties adam: aunty:fifties caleb:thirties david:sixties Denis:twenties ed:fourties Gene:
    john:seventies Lee:thirties max:twenties paul:fifties rob:thirties zac:teens"""
COLLECTED_CLIPS = 18  # a speaker
KOKORO_TRAIN = {
    0: "thirties",
    2: "twenties",
    4: "",
    1: "fourties",
    3: "thirties",
    5: "fifties",
    6: "fourties",
    7: "",
}  # blend: age
# Blends around a style vector that no training blend holds: mix, phonemes, size, gender, age
KOKORO_RESERVED = {
    "dev": [
        ((("jf_tebukuro", 0.7), ("jf_alpha", 0.3)), "en-us", 0.98, FEMALE, "thirties"),
        ((("jf_tebukuro", 0.4), ("jm_kumo", 0.6)), "en-gb", 0.95, MALE, "fourties"),
    ],
    "test": [
        ((("jf_tebukuro", 1.0),), "en-us", 1.0, FEMALE, "twenties"),
        ((("jf_tebukuro", 0.6), ("jf_nezumi", 0.4)), "en-gb", 0.95, FEMALE, "thirties"),
        ((("jf_tebukuro", 0.35), ("jm_kumo", 0.65)), "en-us", 0.93, MALE, "fourties"),
    ],
}
FLITE = {
    "train": [("slt", FEMALE, "thirties"), ("rms", MALE, "fourties"), ("kal", MALE, "")],
    "test": [("awb", MALE, "fourties")],
}


@dataclass(frozen=True)
class Speaker:
    """One contributor of the demo corpus: the voice, and what its Common Voice profile says."""

    client_id: str
    voice: Voice
    split: str
    gender: str
    age: str
    accents: str


def cast() -> list[Speaker]:
    """Every speaker but those collected later, in a fixed order."""
    speakers = []
    for split in CLIPS:
        for entry in ESPEAK[split].split():
            name, age = entry.split(":")
            accent, variant = name.split("+")
            speakers.append(
                _speaker(
                    Voice("espeak", name),
                    f"espeak-{accent}-{variant}",
                    split,
                    _gender(variant),
                    age,
                    accent_name(accent),
                )
            )
        for name, gender, age in FLITE.get(split, []):
            accents = HELD_OUT_NAME if name == "awb" else accent_name("en-us")
            speakers.append(_speaker(Voice("flite", name), f"flite-{name}", split, gender, age, accents))
    for index, age in KOKORO_TRAIN.items():
        voice, client, gender, accents = kokoro_blend(index)
        speakers.append(_speaker(voice, client, "train", gender, age, accents))
    for split, blends in KOKORO_RESERVED.items():
        for number, (mix, accent, size, gender, age) in enumerate(blends):
            voice = Voice("kokoro", accent, mix=mix, size=size)
            speakers.append(_speaker(voice, f"kokoro-{split}-{number}", split, gender, age, accent_name(accent)))
    for entry in HELD_OUT.split():
        variant, age = entry.split(":")
        voice, name = Voice("espeak", f"{HELD_OUT_ACCENT}+{variant}"), f"espeak-{HELD_OUT_ACCENT}-{variant}"
        speakers.append(_speaker(voice, name, "test", _gender(variant), age, HELD_OUT_NAME))
    return speakers


def collected() -> list[Speaker]:
    """The speakers of the train split that came later: all of the accent that the first ones lack."""
    speakers = []
    for entry in COLLECTED.split():
        variant, age = entry.split(":")
        voice, name = Voice("espeak", f"{HELD_OUT_ACCENT}+{variant}"), f"espeak-{HELD_OUT_ACCENT}-{variant}"
        speakers.append(_speaker(voice, name, "train", _gender(variant), age, HELD_OUT_NAME))
    return speakers


def _speaker(voice: Voice, name: str, split: str, gender: str, age: str, accents: str) -> Speaker:
    return Speaker(f"synthetic-{name.lower()}", voice, split, gender, age, accents)


def _gender(variant: str) -> str:
    for table in (VARIANTS, RESERVED_VARIANTS):
        for gender, names in table.items():
            if variant in names:
                return gender
    raise ValueError(f"variant {variant!r} is in neither table of voices.py")
