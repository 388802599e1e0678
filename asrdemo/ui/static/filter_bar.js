// The filter bar of Error analysis and Compare (see filter_bar.py): filters as URLSearchParams in, others out. Runs once
// when the page loads.
() => {
  const column = (key) => key.replace(/\.(not|min|max|below|unknown|has)$/, "");
  const fields = (root) => [...root.querySelectorAll("input")].filter((e) => e.name);
  const value = (e) => (e.type === "checkbox" ? (e.checked ? e.value : null) : e.value || null);

  // What the form says replaces what the filter said under those names
  function fromForm(filter, form) {
    const own = new Set(fields(form).map((e) => e.name));
    const next = new URLSearchParams([...filter].filter(([key]) => !own.has(key)));
    for (const e of fields(form)) if (value(e) !== null) next.append(e.name, e.value);
    return next;
  }

  // Conditions replace those on the same columns
  function added(filter, query) {
    const more = new URLSearchParams(query);
    const columns = new Set([...more.keys()].map(column));
    return new URLSearchParams([...[...filter].filter(([key]) => !columns.has(column(key))), ...more]);
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
      const count = fields(drop).filter((e) => value(e) !== null).length;
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
    open.open = false;
    open.querySelector("summary").focus();
  });
  window.asrdemoFilter = { fromForm, added, without, show, listen };
}
