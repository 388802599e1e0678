// Anything with data-send, in HTML or SVG: a click, Enter or Space sends its JSON to the server.
let sent = null; // what was read when something was sent
const send = (event) => {
  const target = event.target.closest("[data-send]");
  if (!target || !element.contains(target)) return;
  event.preventDefault();
  element.querySelectorAll("[data-send].picked").forEach((other) => other.classList.remove("picked"));
  target.classList.add("picked");
  sent = element.textContent;
  trigger("click", JSON.parse(target.dataset.send));
};
element.addEventListener("click", send);
element.addEventListener("keydown", (event) => {
  if (event.target.tagName !== "BUTTON" && (event.key === "Enter" || event.key === " ")) send(event);
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  const bubble = event.target.closest(".bubble");
  if (bubble && step) (event.preventDefault(), move(bubble, step));
});

// Of a chart's marks one is in the tab order; arrow keys go to the nearest one that way.
const move = (from, [right, up]) => {
  const at = (bubble) => JSON.parse(bubble.dataset.send);
  const here = at(from);
  const distance = (bubble) => {
    const [dx, dy] = [at(bubble).x - here.x, at(bubble).y - here.y];
    const along = dx * right + dy * up;
    return along > 0 ? along + 2 * Math.abs(dx * up) + 2 * Math.abs(dy * right) : Infinity;
  };
  const others = [...element.querySelectorAll(".bubble")].sort((a, b) => distance(a) - distance(b));
  if (!others.length || distance(others[0]) === Infinity) return;
  element.querySelectorAll(".bubble").forEach((bubble) => bubble.setAttribute("tabindex", bubble === others[0] ? 0 : -1));
  others[0].focus();
};

// A ballot is drawn anew after each choice: who came by keyboard goes on from its first button.
new MutationObserver(() => {
  if (sent === null || element.textContent === sent) return;
  sent = null;
  element.querySelector(".vote")?.focus({ preventScroll: true });
}).observe(element, { childList: true, subtree: true });

// What is compared is in the address, to be sent to others; see compare_link.js.
const write = () => {
  const address = element.querySelector("[data-address]")?.dataset.address;
  if (!address || element.offsetParent === null) return;
  const theme = new URLSearchParams(location.search).get("__theme");
  const next = `${location.pathname}?tab=compare&${address}${theme ? `&__theme=${theme}` : ""}`;
  history.replaceState(history.state, "", next);
};
watch("value", () => setTimeout(write, 50));
