// The Fine-tune page. Its address says which run is open (run=NAME), or which slice of Error analysis to make a recipe
// from (accents=..., checkpoint=..., corpus=...), which fills the form in once. Runs once when the page loads.
() => {
  const TAB = "finetune";
  const given = new URLSearchParams(location.search);
  let state = new URLSearchParams(given.get("tab") === TAB ? location.search : "");
  let fresh = true; // a slice in the address was not asked for yet

  const press = (selector, tries = 100) => {
    const button = document.querySelector(selector);
    if (button) button.click();
    else if (tries) setTimeout(press, 50, selector, tries - 1);
  };
  const mainTab = `#tabs > .tab-wrapper [role=tab][data-tab-id=${TAB}]`;
  const view = (name) => press(`#finetune-views [role=tab][data-tab-id=${name}]`);
  const here = () => document.getElementById("finetune")?.offsetParent != null;

  function write() {
    const theme = new URLSearchParams(location.search).get("__theme");
    state.set("tab", TAB);
    const next = new URLSearchParams([["tab", TAB], ...[...state].filter(([key]) => key !== "tab" && key !== "__theme")]);
    if (theme) next.set("__theme", theme);
    history.replaceState(history.state, "", `${location.pathname}?${next}`);
  }

  const shown = () => document.querySelector("#finetune-list [data-run][aria-pressed=true]")?.dataset.run;

  function open(run) {
    state = new URLSearchParams([["run", run]]);
    write();
  }

  window.asrdemoFinetune = {
    // opening: the page's tab was chosen, which is when a slice fills the form
    address(opening = false) {
      if (opening || here()) write();
      if (opening && fresh) {
        fresh = false;
        return `?${state}`;
      }
      const run = state.get("run") || (opening ? "" : shown());
      return run ? `?${new URLSearchParams([["run", run]])}` : "?";
    },
    open,
    started(name) {
      if (!name) return;
      open(name);
      view("runs");
    },
    save(file) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([file.text], { type: "text/markdown" }));
      link.download = file.name;
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    },
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-finetune]");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      state = new URLSearchParams(new URL(link.href).search);
      fresh = true;
      write();
      press(mainTab);
      return;
    }
    const main = event.target.closest("#tabs > .tab-wrapper [role=tab]");
    if (main && !main.matches(mainTab) && new URLSearchParams(location.search).get("tab") === TAB) {
      history.replaceState(history.state, "", location.pathname);
    }
  });

  if (given.get("tab") === TAB) setTimeout(press, 0, mainTab);
}
