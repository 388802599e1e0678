// Runs once when the page loads: an address such as ?tab=compare&results=a&results=b opens the comparison it names.
// compare.js writes such an address whenever the comparison changes.
() => {
  const asked = new URLSearchParams(location.search);
  let link = asked.get("tab") === "compare" ? location.search.slice(1) : "";
  window.asrdemoCompare = { asked: () => [link, (link = "")][0] };
  if (!link) return;
  const tab = (root, name) => [...document.querySelectorAll(`${root} [role=tab]`)].find((b) => b.textContent.trim() === name);
  const press = (root, name, then, tries = 100) => {
    const button = tab(root, name);
    if (button) (button.click(), then?.());
    else if (tries) setTimeout(press, 50, root, name, then, tries - 1);
  };
  press("#tabs", "Compare", asked.has("results") ? () => press("#compare-parts", "Whole corpus") : null);
}
