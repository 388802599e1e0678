// The list of runs: a click opens one; while something runs and the list is in view, ask every two seconds how it goes.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-run]");
  if (!button) return;
  window.asrdemoFinetune.open(button.dataset.run);
  trigger("open", {});
});
const timer = setInterval(() => {
  if (!element.isConnected) return clearInterval(timer);
  const live = element.querySelector('[data-live="1"]');
  if (live && element.offsetParent && !document.hidden) trigger("look", {});
}, 2000);
