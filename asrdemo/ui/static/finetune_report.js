// The check's report: a button mends the recipe.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-fix]");
  if (button) trigger("fix", { fix: Number(button.dataset.fix) });
});
