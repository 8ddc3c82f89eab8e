"""The style sheet of a report."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --soft: #f4f6f8; --rule: #dfe3e8; --ink: #1b2733; --quiet: #5b6876;
  --good: 31 111 178; --bad: 201 92 24; --third: 92 98 168; --strong: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12171d; --soft: #1b222a; --rule: #323c47; --ink: #e6ebf0; --quiet: #9aa7b4;
    --good: 88 166 230; --bad: 238 140 76; --third: 160 166 235; --strong: #0c1116;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 80px; }
section { margin-top: 64px; }
h1 { font-size: 1rem; font-weight: 600; margin: 0; color: var(--quiet); }
h2 { font-size: 1.45rem; line-height: 1.25; font-weight: 650; margin: 0 0 8px; }
h3 { font-size: 1rem; font-weight: 600; margin: 0 0 4px; }
p { margin: 0 0 16px; max-width: 68ch; }
.over {
  font-size: .78rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: rgb(var(--good)); margin: 0 0 4px;
}
.quiet { color: var(--quiet); }
.small { font-size: .85rem; }
a { color: rgb(var(--good)); }
.hero { display: grid; gap: 8px 56px; grid-template-columns: 1fr; align-items: start; }
.hero .value {
  font-size: clamp(3.6rem, 13vw, 6rem); line-height: 1.05; font-weight: 700;
  letter-spacing: -.03em; margin: 12px 0 8px; font-variant-numeric: tabular-nums;
}
.hero .value small { display: block; font-size: 1.2rem; font-weight: 500;
  letter-spacing: 0; line-height: 1.6; }
.hero svg { max-width: 460px; }
@media (min-width: 800px) { .hero { grid-template-columns: 1.1fr 1fr; } }
dl { margin: 24px 0 0; display: grid; grid-template-columns: auto 1fr; gap: 0; }
dt, dd { padding: 7px 0; border-top: 1px solid var(--rule); margin: 0; }
dt { color: var(--quiet); padding-right: 24px; overflow-wrap: normal; }
dd { text-align: right; font-variant-numeric: tabular-nums; }
nav { margin-top: 40px; display: flex; flex-wrap: wrap; gap: 6px 22px;
  font-size: .92rem; }
nav a { text-decoration: none; }
nav a:hover, nav a:focus { text-decoration: underline; }
figure { margin: 0; }
figcaption { font-size: .85rem; color: var(--quiet); margin-top: 4px; }
.charts {
  display: grid; gap: 32px; margin-top: 20px;
  grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr));
}
.beside { display: grid; gap: 24px 48px; margin-top: 20px; grid-template-columns: 1fr; }
@media (min-width: 800px) { .beside { grid-template-columns: 460px 1fr; } }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 11px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); stroke-width: 1; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.s1 { stroke: rgb(var(--third) / .75); } .dot.s1 { fill: rgb(var(--third)); }
.s2 { stroke: rgb(var(--good)); } .dot.s2 { fill: rgb(var(--good)); }
.s3 { stroke: rgb(var(--bad)); } .dot.s3 { fill: rgb(var(--bad)); }
.bar { fill: rgb(var(--good) / .75); } .missing { fill: rgb(var(--bad) / .4); }
.beyond { fill: rgb(var(--good) / .35); }
.count { fill: var(--quiet); opacity: .55; }
.ideal { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 4 4; }
.track { fill: var(--rule); } .range { fill: rgb(var(--good) / .45); }
.mark { fill: rgb(var(--good)); }
.key { display: inline-block; width: 14px; height: 4px; border-radius: 2px;
  margin: 0 6px 3px 0; }
.key.s1 { background: rgb(var(--third)); } .key.s2 { background: rgb(var(--good)); }
.key.s3 { background: rgb(var(--bad)); } .legend span { margin-right: 16px; }
.scroll { overflow-x: auto; margin: 16px 0; max-width: 100%; }
.scroll:focus-visible { outline: 2px solid rgb(var(--good)); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .92rem; overflow-wrap: normal; }
.plain { min-width: min(100%, 640px); }
th, td { padding: 6px 14px 6px 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--rule); max-width: 22rem; }
td { overflow-wrap: anywhere; }
.plain td:not(.n) { min-width: 8rem; }
th { font-weight: 600; color: var(--quiet); white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.meter { display: inline-block; width: 72px; height: 8px; border-radius: 4px;
  background: var(--rule); margin-right: 10px; overflow: hidden; }
.meter i { display: block; height: 100%; background: rgb(var(--good)); }
.matrix { border-collapse: separate; border-spacing: 1px; font-size: .8rem; }
.matrix td { padding: 0; width: 2.3rem; min-width: 2.3rem; height: 2.1rem;
  border: 0;  text-align: center; vertical-align: middle; background: var(--soft);
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
.matrix thead td { background: none; }
.matrix th { border: 0; padding: 2px 8px; vertical-align: middle; font-weight: 500; }
.matrix thead th { vertical-align: bottom; padding: 4px 0; text-align: center; }
.matrix .turned { writing-mode: vertical-rl; transform: rotate(180deg);
  display: inline-block; }
.matrix tbody th { position: sticky; left: 0; background: var(--page);
  text-align: right; }
.matrix.dense { font-size: .66rem; }
.matrix.dense td { width: 1.6rem; min-width: 1.6rem; height: 1.5rem; }
.photos { display: grid; gap: 24px 20px; margin-top: 20px;
  grid-template-columns: repeat(auto-fill, minmax(min(240px, 100%), 1fr)); }
.photos .pair { display: flex; gap: 4px; }
.photos img { width: calc(50% - 2px); max-width: 160px; height: auto; aspect-ratio: 1;
  border-radius: 4px; background: var(--soft); }
.photos figcaption { margin-top: 8px; line-height: 1.4; color: var(--ink); }
.photos b { font-weight: 600; }
.wrong { color: rgb(var(--bad)); } .right { color: rgb(var(--good)); }
pre { background: var(--soft); border-radius: 6px; padding: 14px 16px;
  margin: 8px 0 20px; white-space: pre-wrap;
  font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", monospace; }
code { font: inherit; }
details summary { cursor: pointer; font-weight: 600; }
"""
# Shades of a matrix: .g1 to .g9 where rows are right, .b1 to .b9 where they are wrong.
CSS += "".join(
    f".matrix .{kind}{level} {{ background: rgb(var(--{name}) / {level / 10:.1f});"
    f"{' color: var(--strong);' if level > 6 else ''} }}\n"
    for kind, name in (("g", "good"), ("b", "bad"))
    for level in range(1, 10)
)
