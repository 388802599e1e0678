// The filter bar of Error analysis and Compare (see filter_bar.py): filters as URLSearchParams in, others out. Runs once
// when the page loads.
() => {
  const fields = (root) => [...root.querySelectorAll("input")].filter((e) => e.name);
  const OUTCOMES = ["wrong", "correct"];
  const value = (e) => (e.type === "checkbox" ? (e.checked ? e.value : null) : e.value || null);

  // What was changed in the form is changed in the filter; its order, and what no field can show, stay
  function fromForm(filter, form) {
    let next = [...filter];
    for (const e of fields(form)) {
      const said = next.filter(([key]) => key === e.name);
      const here = e.type === "checkbox" ? said.find(([, value]) => value === e.value) : said[0];
      if ((value(e) ?? "") === (here?.[1] ?? "") && (value(e) !== null) === Boolean(here)) continue;
      next = next.filter((pair) => pair !== here);
      if (value(e) !== null) next.push([e.name, e.value]);
    }
    return new URLSearchParams(next);
  }

  // Conditions that must hold as well as those there are: slices are counted within the filter, and a click on one shows
  // the clips that were counted. Of bounds the tighter one stays; of values listed, the one; a value beside them is one
  // that the same clip has, too.
  const TIGHTER = { min: (a, b) => a > b, max: (a, b) => a < b, below: (a, b) => a < b };
  function added(filter, query) {
    const next = new URLSearchParams(filter);
    for (const [key, value] of new URLSearchParams(query)) {
      const said = next.getAll(key);
      const op = key.match(/\.(not|also|min|max|below|unknown|has)$/)?.[1] ?? (OUTCOMES.includes(key) ? key : "is");
      if (op in TIGHTER) next.set(key, [...said, value].reduce((a, b) => (TIGHTER[op](Number(b), Number(a)) ? b : a)));
      else if (said.includes(value)) op === "is" && next.set(key, value);
      else next.append(op === "is" && said.length ? `${key}.also` : key, value);
    }
    return next;
  }

  function without(filter, pairs) {
    const gone = [...new URLSearchParams(pairs)].map(([key, value]) => `${key}=${value}`);
    return new URLSearchParams([...filter].filter(([key, value]) => !gone.includes(`${key}=${value}`)));
  }

  // Fields show what the filter says; each little panel counts what is chosen in it
  function show(filter, form) {
    for (const e of fields(form)) {
      if (e === document.activeElement && e.type !== "checkbox") continue;
      const said = filter.getAll(e.name);
      if (e.name === "results" && !said.length) continue;
      if (e.type === "checkbox") e.checked = said.includes(e.value);
      else e.value = said[0] ?? "";
    }
    for (const drop of form.querySelectorAll(".drop:not(.results)")) {
      const names = new Set(fields(drop).map((e) => e.name));
      const count = [...filter.keys()].filter((key) => names.has(key)).length;
      drop.querySelector(".count").textContent = count || "";
      drop.classList.toggle("used", count > 0);
    }
  }

  // Calls back with a form below the element once something else is chosen in it, or after a pause in typing
  function listen(root, changed) {
    let typing = null;
    for (const name of ["input", "change"]) {
      document.addEventListener(name, (event) => {
        const form = event.target.closest?.(`${root} form.picker`);
        const box = event.target.type === "checkbox";
        if (!form || box !== (name === "change")) return;
        clearTimeout(typing);
        typing = setTimeout(() => changed(form), box ? 0 : 350);
      });
    }
    document.addEventListener("submit", (event) => event.target.closest(root) && event.preventDefault());
  }

  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll(".drop[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && event.target.closest?.(".drop[open]");
    if (!open) return;
    event.preventDefault(); // the browser would empty the field, and tell nobody
    open.open = false;
    open.querySelector("summary").focus();
  });
  // A little panel that would be cut off at the page's edge opens to the other side
  document.addEventListener("toggle", (event) => {
    const panel = event.target.matches?.(".drop[open]") && event.target.querySelector(".panel");
    if (!panel) return;
    panel.classList.remove("end");
    panel.classList.toggle("end", panel.getBoundingClientRect().right > document.documentElement.clientWidth - 8);
  }, true);
  window.asrdemoFilter = { fromForm, added, without, show, listen };
}
