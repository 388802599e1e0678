// The filter bar's own script: hands the events of the page to Gradio. What they do is in analysis.js.
const EVENTS = ["choose", "show", "hear", "mark", "save"];
window.asrdemoAnalysis.connect((name) => EVENTS.includes(name) && trigger(name, {}));
watch("value", () => window.asrdemoAnalysis.sync());
window.asrdemoAnalysis.sync();
