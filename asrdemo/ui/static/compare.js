// Anything with data-send, in HTML or SVG: a click, Enter or Space sends its JSON to the server.
const send = (event) => {
  const target = event.target.closest("[data-send]");
  if (!target || !element.contains(target)) return;
  event.preventDefault();
  element.querySelectorAll("[data-send].picked").forEach((other) => other.classList.remove("picked"));
  target.classList.add("picked");
  trigger("click", JSON.parse(target.dataset.send));
};
element.addEventListener("click", send);
element.addEventListener("keydown", (event) => {
  if (event.target.tagName !== "BUTTON" && (event.key === "Enter" || event.key === " ")) send(event);
});

// What is compared is in the address, to be sent to others; see compare_link.js.
const write = () => {
  const address = element.querySelector("[data-address]")?.dataset.address;
  if (!address || element.offsetParent === null) return;
  const theme = new URLSearchParams(location.search).get("__theme");
  const next = `${location.pathname}?tab=compare&${address}${theme ? `&__theme=${theme}` : ""}`;
  history.replaceState(history.state, "", next);
};
watch("value", () => setTimeout(write, 50));
