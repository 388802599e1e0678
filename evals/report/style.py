"""How the report looks, on a screen and in print."""

STYLE = """
:root{--ink:#1a1d21;--soft:#5b6470;--rule:#dde1e6;--paper:#fff;--tint:#f5f7f9;--bad:#b23a00;--new:#00589b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ea;--soft:#9aa4af;--rule:#343a41;--paper:#14171a;--tint:#1d2126;
--bad:#ff9d66;--new:#7cc4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 1rem;text-wrap:balance}
h2{font-size:1.2rem;margin:2.75rem 0 .75rem;padding-top:.75rem;border-top:1px solid var(--rule)}
h3{font-size:.95rem;margin:0 0 .4rem;color:var(--soft);font-weight:600}
header p{font-size:1.1rem;margin:.2rem 0}
.note{color:var(--soft);font-size:.88rem;max-width:46rem}
header .note{font-size:.95rem;margin-top:.6rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;width:100%}
th{text-align:left;font-weight:600;color:var(--soft);white-space:nowrap}
th,td{padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.name{white-space:nowrap}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:1.5rem 2rem}
figure{margin:1rem 0 1.75rem}
.chart{width:100%;height:auto;font:12px system-ui,sans-serif}
.chart text{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}
.chart .title{font-weight:600;font-size:14px}
.chart .support,.chart .tick{fill:var(--soft);font-size:11px}.chart .muted{fill:var(--soft)}
.chart .grid{stroke:var(--rule)}.chart .overall{stroke-dasharray:4 4;fill:none}
.chart .interval{stroke-width:2.5;fill:none;opacity:.6}
.entry{margin-right:1.25rem;white-space:nowrap}
.key{width:14px;height:14px;vertical-align:-2px}
del{color:var(--bad);text-decoration:line-through}ins{color:var(--new);text-decoration:underline}
/* a line through a character such as 一 hides it */
.joined del{text-decoration:none;background:color-mix(in srgb,var(--bad) 14%,transparent)}
code{font-size:.8rem;white-space:nowrap}
.narrow{display:none}
@media screen and (max-width:40rem){.wide{display:none}.narrow{display:block}main{padding:1.25rem 1rem 3rem}
.columns>div:first-child{grid-column:1/-1}}
summary{cursor:pointer}
.clip{min-width:16rem}
dl{display:grid;grid-template-columns:minmax(9rem,auto) 1fr;gap:.2rem 1.25rem;font-size:.9rem;margin:0 0 1.5rem}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb}main{max-width:none;padding:0}
h2,h3,figure{break-after:avoid}figure,tr{break-inside:avoid}.scroll{overflow:visible}}
"""
