// The filter bar of a corpus comparison hands its changes to Gradio. What they are is in compare_link.js.
window.asrdemoCompare.connect(() => trigger("click"));
watch("value", () => window.asrdemoCompare.drawn());
window.asrdemoCompare.drawn();
