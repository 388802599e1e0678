// A group of buttons with data-pick: a click sends the number to the server.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-pick]");
  if (!button) return;
  element.querySelectorAll("[data-pick]").forEach((other) => other.classList.toggle("picked", other === button));
  trigger("click", { pick: Number(button.dataset.pick), name: button.dataset.name });
});
