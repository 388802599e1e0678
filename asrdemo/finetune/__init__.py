"""Recipe + corpora -> prepared shards -> run directory -> checkpoint. Keep this file free of imports: the workers of
prepare.py load it.

    recipe, schema, limits     what a run is made of, strictly read
    select, prepare, parts, shards, augment     which clips, decoded once, changed anew each time
    base, modes, labels, model, pretrain, export     weights and vocabulary: in, trained how, and out
    precheck*, flavours        what is known to go wrong, and what it would cost
    data, objective, loss, clock, loop, watchdog, evaluate, scores, train     the training program
    runs, live, journal, plots, records, contents     the run directory: queue, watching, going on
    register, card*, intervals, provenance, publish, hub     what becomes of a run
    backends, jobs_*, in_job     runs elsewhere: Hugging Face Jobs
    sweep                      the same recipe with more and more speech
"""
