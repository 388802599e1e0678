// The transcript: a click (or Enter) on a word plays the clip from there; arrow keys move between words; while the clip
// plays, the word being heard is marked. The player is Gradio's; SEEK sets its position (see transcribe/tab.py).
const player = () => document.getElementById("player");
const words = () => Array.from(element.querySelectorAll(".w"));

element.addEventListener("click", (event) => {
  const word = event.target.closest(".w");
  if (!word) return;
  focusOn(word);
  // The player ignores a position equal to the last one it was given
  const start = Number(word.dataset.start);
  window.asrdemoSeek = start === window.asrdemoSeek ? start + 1e-4 : start;
  trigger("click", {});
  setTimeout(() => player()?.querySelector("button[aria-label='Play']")?.click(), 150);
});

element.addEventListener("keydown", (event) => {
  const word = event.target.closest(".w");
  const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
  if (!word || !step) return;
  event.preventDefault();
  const all = words();
  const next = all[Math.max(0, Math.min(all.length - 1, all.indexOf(word) + step))];
  focusOn(next);
  next.focus();
});

// On a phone the result is below the fold: bring a new one into view, but leave those alone who read elsewhere. Of
// several files it is their list, until one of them is chosen. The list is set together with the result: wait for it.
let listed = "";
watch("value", () => setTimeout(() => {
  const names = Array.from(document.querySelectorAll("#files [data-pick]"), (button) => button.textContent).join("/");
  const card = names && names !== listed ? document.getElementById("files") : element.closest("#result");
  listed = names;
  if (card.getBoundingClientRect().top > innerHeight * 0.6) card.scrollIntoView({ behavior: "smooth", block: "start" });
}, 150));

function focusOn(word) {
  words().forEach((other) => (other.tabIndex = other === word ? 0 : -1));
}

// Gradio's player tells scripts nothing while it plays, but it shows its cursor: read the time there.
function position() {
  const host = player()?.querySelector("#waveform > div");
  const cursor = host?.shadowRoot?.querySelector("[part~='cursor']");
  const audio = player()?.querySelector("audio");
  const length = Number(element.querySelector(".result")?.dataset.duration);
  if (cursor) return (parseFloat(cursor.style.left) / 100) * length;
  return audio && !audio.paused ? audio.currentTime : NaN;
}

setInterval(() => {
  if (!element.isConnected || element.offsetParent === null) return;
  const playing = player()?.querySelector("button[aria-label='Pause'], audio:not(.hidden)");
  const now = playing ? position() : NaN;
  for (const word of words()) {
    const heard = now >= Number(word.dataset.start) && now < Math.max(Number(word.dataset.end), Number(word.dataset.start) + 0.08);
    if (word.classList.contains("heard") !== heard) word.classList.toggle("heard", heard);
  }
}, 80);
