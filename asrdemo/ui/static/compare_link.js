// Runs once when the page loads: an address such as ?tab=compare&results=a&results=b opens the comparison it names,
// ?tab=compare&part=vote a part of the page, and the filter of a corpus comparison is kept here. compare.js writes such
// an address whenever the comparison changes.
() => {
  const asked = new URLSearchParams(location.search);
  const bar = window.asrdemoFilter;
  const ROOT = "#whole-corpus";
  let link = asked.get("tab") === "compare" ? location.search.slice(1) : "";
  let filter = new URLSearchParams(), tell = null;

  const form = () => document.querySelector(`${ROOT} form.picker`);
  const show = () => form() && bar.show(filter, form());
  function change(next) {
    if (String(next) === String(filter)) return;
    filter = next;
    show();
    tell?.();
  }

  bar.listen(ROOT, (form) => change(bar.fromForm(filter, form)));
  document.addEventListener("click", (event) => {
    const data = event.target.closest?.(`${ROOT} button`)?.dataset ?? {};
    if ("where" in data) change(bar.added(filter, data.where));
    if ("drop" in data) change(bar.without(filter, data.drop));
    if ("clear" in data) change(new URLSearchParams());
  });

  window.asrdemoCompare = {
    asked: () => [link, (link = "")][0],
    filter: () => String(filter),
    connect: (fire) => (tell = fire),
    // The server has drawn the bar: it says what the filter is
    drawn() {
      filter = new URLSearchParams(form()?.dataset.filter ?? "");
      show();
    },
  };
  const PARTS = { clip: "One clip", corpus: "Whole corpus", vote: "Blind vote" };
  document.addEventListener("click", (event) => {
    const chosen = event.isTrusted && event.target.closest?.("#compare-parts [role=tab]")?.textContent.trim();
    const part = Object.keys(PARTS).find((name) => PARTS[name] === chosen);
    if (!part) return;
    const theme = new URLSearchParams(location.search).get("__theme");
    const next = `${location.pathname}?tab=compare&part=${part}${theme ? `&__theme=${theme}` : ""}`;
    history.replaceState(history.state, "", next);
  });
  if (!link) return;
  const tab = (root, name) => [...document.querySelectorAll(`${root} [role=tab]`)].find((b) => b.textContent.trim() === name);
  const press = (root, name, then, tries = 100) => {
    const button = tab(root, name);
    if (button) (button.click(), then?.());
    else if (tries) setTimeout(press, 50, root, name, then, tries - 1);
  };
  const part = PARTS[asked.has("results") ? "corpus" : asked.get("part")];
  press("#tabs", "Compare", part ? () => press("#compare-parts", part) : null);
}
