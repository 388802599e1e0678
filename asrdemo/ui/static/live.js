// Microphone -> 16-bit blocks -> server -> captions. Blocks wait here while a request is under way, so that none is lost,
// none overtakes another, and a slow server gets larger blocks rather than more of them.
const $ = (name) => element.querySelector(`[data-live=${name}]`);
const EVERY_MS = 400, RETRIES = 5, SPARK = 40;
const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
  process([input]) { if (input[0]) this.port.postMessage(input[0].slice()); return true; }
});`;
let run = null; // the recording under way: {id, context, stream, blocks, ...}

$("toggle").addEventListener("click", () => (run ? stop() : start()));
$("clear").addEventListener("click", clear);
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("stable").textContent);
  say("Copied.");
});

function say(text, problem = false) {
  $("status").textContent = text;
  $("status").classList.toggle("problem", problem);
}

async function start() {
  if (!navigator.mediaDevices) {
    return say("This browser gives the microphone only to pages served over https or from this computer.", true);
  }
  const mine = (run = { blocks: [], unsent: null, turn: 0, failures: 0, spark: [], stopping: false });
  buttons();
  say("Waiting for the microphone…");
  try {
    mine.stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
    });
    mine.context = await listen(mine);
    say("Loading the checkpoint. You may speak: nothing is lost.");
    const { checkpoint, kind } = props.value || {};
    const answer = await server.answer({ do: "start", checkpoint, kind });
    if (answer.problem) throw new Error(answer.problem);
    mine.id = answer.id;
  } catch (error) {
    release(mine);
    run = null;
    buttons();
    const denied = error.name === "NotAllowedError" || error.name === "NotFoundError";
    return say(denied ? "The microphone is not available: allow it for this page, or plug one in." : error.message, true);
  }
  clear();
  say("Listening. Speak now.");
  buttons();
  mine.timer = setInterval(() => send(mine), EVERY_MS);
}

async function listen(mine) {
  const connect = async (context) => {
    const url = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await context.audioWorklet.addModule(url);
    URL.revokeObjectURL(url);
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => hear(mine, data);
    context.createMediaStreamSource(mine.stream).connect(tap);
    return context;
  };
  const wanted = new AudioContext({ sampleRate: 16000 });
  try {
    return await connect(wanted);
  } catch {
    wanted.close();
    return connect(new AudioContext()); // some browsers do not resample a microphone; the server does
  }
}

function hear(mine, block) {
  if (mine.stopping && mine.closed) return;
  mine.blocks.push(block);
  let peak = 0;
  for (const sample of block) peak = Math.max(peak, Math.abs(sample));
  mine.peak = Math.max(peak, (mine.peak || 0) * 0.97);
  $("level").style.transform = `scaleX(${Math.min(1, Math.sqrt(mine.peak)).toFixed(3)})`;
}

function encode(blocks) {
  const samples = new Int16Array(blocks.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of blocks) for (const x of block) samples[at++] = Math.max(-32768, Math.min(32767, Math.round(x * 32768)));
  const bytes = new Uint8Array(samples.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

async function send(mine) {
  if (mine.busy || !mine.id || !(mine.unsent || mine.blocks.length)) return;
  mine.busy = true;
  const rate = mine.context.sampleRate;
  // 20 s at most in one request. What comes again is the very same: perhaps only its answer was lost
  mine.unsent ??= encode(mine.blocks.splice(0, Math.ceil((20 * rate) / 128)));
  try {
    const answer = await server.answer({ do: "push", id: mine.id, turn: mine.turn, rate, data: mine.unsent });
    mine.failures = 0;
    if (answer.busy) return;
    mine.unsent = null;
    mine.turn += 1;
    if (answer.problem) return await fail(mine, answer.problem);
    show(mine, answer);
  } catch {
    mine.failures += 1;
    if (mine.failures >= RETRIES) await fail(mine, "The server cannot be reached. What was heard so far is kept above.");
    else say("The connection is slow; nothing is lost yet…");
  } finally {
    mine.busy = false;
  }
}

async function fail(mine, problem) {
  const id = mine.id;
  mine.id = null;
  end(mine);
  say(problem, true);
  try {
    const answer = await server.answer({ do: "finish", id }); // what was heard up to here, whole
    if (!answer.problem) show(mine, answer);
  } catch {
    // the server cannot be reached: the text shown so far stays
  }
}

function show(mine, answer) {
  $("stable").textContent = answer.stable;
  $("tentative").textContent = answer.tentative;
  $("empty").hidden = Boolean(answer.stable || answer.tentative);
  const box = $("captions");
  box.scrollTop = box.scrollHeight;
  $("audio").textContent = clock(answer.audio);
  $("cost").textContent = answer.audio > 0 ? `${(answer.compute / answer.audio).toFixed(3)} s` : "–";
  const before = mine.last || { audio: 0, compute: 0 };
  if (answer.audio - before.audio >= 1) {
    mine.spark.push((answer.compute - before.compute) / (answer.audio - before.audio));
    mine.last = answer;
    spark(mine.spark.slice(-SPARK));
  }
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function spark(values) {
  const top = Math.max(...values, 0.05);
  const points = values.map((v, i) => `${((i / Math.max(1, SPARK - 1)) * 100).toFixed(1)},${(22 - (v / top) * 20).toFixed(1)}`);
  $("spark").setAttribute("points", points.join(" "));
}

async function stop() {
  const mine = run;
  if (!mine || mine.stopping) return;
  mine.stopping = true;
  buttons();
  say("Finishing…");
  await new Promise((done) => setTimeout(done, 120)); // the last blocks are still on their way from the audio thread
  mine.closed = true;
  release(mine);
  clearInterval(mine.timer);
  while (mine.id && (mine.busy || mine.unsent || mine.blocks.length)) {
    await send(mine);
    await new Promise((done) => setTimeout(done, mine.unsent ? EVERY_MS : 50));
  }
  if (mine.id) {
    try {
      const answer = await server.answer({ do: "finish", id: mine.id });
      if (answer.problem) say(answer.problem, true);
      else {
        show(mine, answer);
        say(answer.stable ? "Done. This is the final text." : "Done. No words were heard.");
      }
    } catch {
      say("The server cannot be reached. What was heard so far is kept above.", true);
    }
  }
  end(mine);
}

function release(mine) {
  mine.stream?.getTracks().forEach((track) => track.stop());
  if (mine.context && mine.context.state !== "closed") mine.context.close();
  $("level").style.transform = "scaleX(0)";
}

function end(mine) {
  clearInterval(mine.timer);
  release(mine);
  if (run === mine) run = null;
  buttons();
}

function clear() {
  $("stable").textContent = $("tentative").textContent = "";
  $("empty").hidden = false;
  $("audio").textContent = "0:00";
  $("cost").textContent = "–";
  $("spark").setAttribute("points", "");
  if (!run) say("");
  buttons();
}

function buttons() {
  const on = Boolean(run);
  element.firstElementChild.dataset.state = !on ? "idle" : run.stopping ? "stopping" : run.id ? "listening" : "starting";
  $("toggle").setAttribute("aria-pressed", String(on));
  $("toggle").disabled = on && (run.stopping || !run.id);
  $("label").textContent = on ? (run.stopping ? "Finishing…" : "Stop") : "Start";
  $("clear").disabled = on;
  $("copy").disabled = on;
}
buttons();
