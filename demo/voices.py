"""Who speaks: accents, eSpeak variants, flite and Kokoro voices, and which of them training never hears.

Voices in RESERVED_* are kept for the dev and test splits of the demo corpus. HELD_OUT_ACCENT is in no training set of
`demo-en`: the demo corpus has clips of it in its train split, which the recipe leaves out (see cast.collected).
The same goes for the flite voice awb (a Scottish speaker) and for Kokoro's style vector jf_tebukuro.
"""

import numpy as np

from demo.synthesis import Voice

# eSpeak accent -> the name Common Voice shows (free text where it has none), and its share of the training speech.
ACCENTS = {
    "en-us": ("United States English", 0.36),
    "en-us-nyc": ("New York City English", 0.11),
    "en-gb": ("England English", 0.14),
    "en-gb-x-rp": ("England English", 0.12),
    "en-gb-x-gbclan": ("Lancashire English", 0.08),
    "en-gb-x-gbcwmd": ("West Midlands English", 0.08),
    "en-029": ("West Indies and Bermuda (Bahamas, Bermuda, Jamaica, Trinidad)", 0.11),
}
HELD_OUT_ACCENT = "en-gb-scotland"
HELD_OUT_NAME = "Scottish English"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FEMALE = "female_feminine"
MALE = "male_masculine"
VARIANTS = {
    FEMALE: _names("f1 f2 f3 f5 Andrea Annie Steph aunty belinda anika"),
    MALE: _names(
        "m1 m2 m3 m4 m6 m8 Andy Alex adam antonio boris caleb david Denis "
        "Diogo ed edward2 Gene Henrique iven2 Jacky john Lee marcelo Marco mario max miguel "
        "michel Nguyen pablo paul quincy rob robert sandro travis zac klatt2 klatt4"
    ),
}
RESERVED_VARIANTS = {
    FEMALE: _names("f4 linda Alicia Steph2 steph3 grandma"),
    MALE: _names("m5 m7 Michael victor benjamin Mike Hugo edward pedro grandpa norbert"),
}
FLITE = {"slt": FEMALE, "rms": MALE, "kal": MALE}
KOKORO_FEMALE = ("jf_alpha", "jf_gongitsune", "jf_nezumi")
KOKORO_MALE = "jm_kumo"


def accent_name(accent: str) -> str:
    """The display name of an eSpeak accent."""
    return HELD_OUT_NAME if accent == HELD_OUT_ACCENT else ACCENTS[accent][0]


def training_voice(engine: str, random: np.random.Generator) -> tuple[Voice, str, str, str]:
    """A random training speaker: (voice, client_id, gender, accent's display name)."""
    if engine == "espeak":
        return _espeak(random)
    if engine == "flite":
        name = str(random.choice(list(FLITE)))
        size = float(random.choice([0.88, 0.92, 0.96, 1.0, 1.0, 1.05, 1.1]))
        voice = Voice(
            "flite",
            name,
            rate=float(random.choice([0.95, 1.1])),
            pitch=float(random.choice([0.88, 1.0, 1.12])),
            size=size,
        )
        return voice, f"flite-{name}-{size:.2f}-{voice.pitch:.2f}", FLITE[name], "United States English"
    return _kokoro(random)


def _espeak(random: np.random.Generator) -> tuple[Voice, str, str, str]:
    shares = np.array([share for _, share in ACCENTS.values()])
    accent = str(random.choice(list(ACCENTS), p=shares / shares.sum()))
    gender = FEMALE if random.random() < 0.42 else MALE
    variant = str(random.choice(VARIANTS[gender]))
    size = float(random.choice([0.93, 1.0, 1.0, 1.07]))
    return (
        Voice("espeak", f"{accent}+{variant}", size=size),
        f"espeak-{accent}-{variant}-{size:.2f}",
        gender,
        accent_name(accent),
    )


def _kokoro(random: np.random.Generator) -> tuple[Voice, str, str, str]:
    return kokoro_blend(int(random.integers(60)))


def kokoro_blend(index: int) -> tuple[Voice, str, str, str]:
    """Training blend `index` (odd ones are male); drawn from its own seed, so that it always sounds the same."""
    own = np.random.default_rng(9_000 + index)
    weights = own.dirichlet(np.full(3, 0.5))
    male = own.uniform(0.6, 1.0) if index % 2 else own.uniform(0.0, 0.25)
    mix = [*zip(KOKORO_FEMALE, ((1 - male) * weights).tolist(), strict=True), (KOKORO_MALE, float(male))]
    accent = "en-gb" if own.random() < 0.2 else "en-us"
    size = float(own.uniform(0.88, 1.02) if index % 2 else own.uniform(0.93, 1.08))
    voice = Voice("kokoro", accent, mix=tuple(mix), size=size)
    return voice, f"kokoro-{index:02d}", MALE if index % 2 else FEMALE, accent_name(accent)
