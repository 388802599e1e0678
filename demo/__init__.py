"""Makes the demo's synthetic speech: the embedded corpus and the extra training audio.

Nothing here is imported by the app. ``make_corpus`` and ``make_training_speech`` are the two programs; the other
modules are what they share: ``voices`` and ``cast`` (who speaks), ``synthesis`` (text to samples), ``everyday`` and
``spelled`` (what is said), ``layout`` (a Common Voice release on disk).
"""
